"""Why LoRA's alpha must scale with the rank: the same ranks and seeds, with and without.

    python benchmarks/rank_scaling.py configs/tune_demo.yaml training.max_steps=30 \
        --ranks 2 8 32 128 --seeds 0 1 --out benchmarks/results/rank_scaling.json

Two campaigns over every rank and seed, all trials to their end, at one learning rate. Without
scaling the update is alpha / rank: a larger rank is also a smaller learning rate, and a small one a
larger. With it the update is proportional to 1 / sqrt(rank) (rsLoRA, arXiv 2312.03732), anchored at
the config's own rank. The figure beside the JSON shows metric and loss by rank.
"""

import argparse
import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from figures import write_figure
from record_campaign import record, results_of

from mint_ray import pipeline
from mint_ray.config import Config
from mint_ray.config_files import load_config
from mint_ray.evaluation.svg import circle, line, polyline, text
from mint_ray.evaluation.training_curves import tick_labels, ticks
from mint_ray.progress import Progress

RANK, SEED = "student.lora_rank", "seed"
MODES = {"scaled": ("true", "c-teal"), "fixed": ("false", "c-amber")}
PANELS = {"metric": "validation/mrr at the end", "loss": "training loss, last steps"}
_LAST = 5  # steps whose loss is averaged


def configure(config: str, overrides: Sequence[str], mode: str, given: Any) -> Config:
    """The campaign over all ranks and seeds, with or without scaling."""
    space = {
        RANK: {"kind": "choice", "values": given.ranks},
        SEED: {"kind": "choice", "values": given.seeds},
    }
    told = [
        *overrides,
        f"tune.space={json.dumps(space)}",
        "tune.algorithm=grid",
        "tune.trials=null",
        "tune.scheduler=none",
        "tune.first_rung=1.0",
        "tune.time_budget_minutes=null",
        f"tune.scale_alpha={MODES[mode][0]}",
    ]
    return load_config(config, told)


def points(config: Config, given: Any) -> list[dict[str, float]]:
    """One row per rank and seed."""
    found = []
    for one in results_of(config).trials:
        rank, seed = one.trial.choices[RANK], one.trial.choices[SEED]
        if rank not in given.ranks or seed not in given.seeds or one.trial.state != "finished":
            continue
        last = [row["loss"] for row in one.curve[-_LAST:]]
        found.append(
            {
                "rank": float(rank),
                "seed": float(seed),
                "metric": one.last["validation/mrr"],
                "loss": statistics.fmean(last),
            }
        )
    return found


def draw(path: Path, modes: dict[str, list[dict[str, float]]]) -> None:
    """Both panels: a line through the means, a dot per seed."""
    shapes: list[str] = []
    for place, name in enumerate(PANELS):
        shapes += _panel(30 + 340 * place, name, modes)
    write_figure(path, 720, 310, "Metric and loss by LoRA rank, alpha scaled and fixed", shapes)


def _panel(left: float, name: str, modes: dict[str, list[dict[str, float]]]) -> list[str]:
    rows = [row for found in modes.values() for row in found]
    marks = ticks(min(row[name] for row in rows), max(row[name] for row in rows))
    ranks = sorted({row["rank"] for row in rows})
    ends = math.log2(ranks[0]), math.log2(ranks[-1])

    def x(rank: float) -> float:
        share = (math.log2(rank) - ends[0]) / (ends[1] - ends[0]) if ends[1] > ends[0] else 0.5
        return left + 40 + 250 * share

    def y(value: float) -> float:
        return 250 - 200 * (value - marks[0]) / (marks[-1] - marks[0])

    shapes = [text(left + 20, 20, PANELS[name], "label")]
    for value, label in zip(marks, tick_labels(marks), strict=True):
        shapes.append(line(left + 30, y(value), left + 300, y(value), "grid"))
        shapes.append(text(left + 24, y(value) + 4, label, "tick", "end"))
    shapes += [text(x(rank), 270, f"{rank:.0f}", "tick", "middle") for rank in ranks]
    shapes.append(text(left + 165, 288, "LoRA rank", "tick", "middle"))
    for place, (mode, found) in enumerate(modes.items()):
        style = MODES[mode][1]
        means = [
            (rank, statistics.fmean(row[name] for row in found if row["rank"] == rank))
            for rank in sorted({row["rank"] for row in found})
        ]
        shapes.append(polyline([(x(rank), y(value)) for rank, value in means], f"curve {style}"))
        shapes += [circle(x(row["rank"]), y(row[name]), 3.5, f"dot {style}") for row in found]
        shapes.append(circle(left + 40 + 110 * place, 300, 4, f"dot {style}"))
        shapes.append(text(left + 50 + 110 * place, 304, f"alpha {mode}", "label"))
    return shapes


def main() -> None:
    """Run both campaigns, write figures and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value")
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 8, 32, 128])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_intermixed_args()
    modes, campaigns = {}, {}
    for mode in MODES:
        config = configure(given.config, given.overrides, mode, given)
        pipeline.run_steps(config, pipeline.needed_for("tune"), None, Progress())
        modes[mode] = points(config, given)
        campaigns[mode] = record(config, f"mint tune {given.config} tune.scale_alpha=...")
    content = {"ranks": given.ranks, "seeds": given.seeds, "points": modes, "campaigns": campaigns}
    given.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draw(given.out.with_suffix(".svg"), modes)


if __name__ == "__main__":
    main()
