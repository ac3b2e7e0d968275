"""Is the LoRA rank a hidden learning rate? The same ranks, rates and seeds, alpha scaled and fixed.

    python benchmarks/rank_scaling.py configs/tune_demo.yaml training.max_steps=48 \
        tune.validation_cases=16 --ranks 4 16 64 --rates 5e-4 1.25e-3 3e-3 8e-3 --seeds 0 \
        --out benchmarks/results/rank_scaling.json

Two campaigns over the whole grid, all trials to their end. `scaled` multiplies the update by
alpha / sqrt(rank) (rsLoRA, arXiv 2312.03732), anchored at the config's own rank; `fixed` is PEFT's
alpha / rank. Where the rank is no hidden learning rate, all ranks learn best at the same rate: in
the figure beside the JSON their lines then have their lowest loss above the same place.
"""

import argparse
import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from figures import write_figure
from record_campaign import record_campaign, results_of

from mint_ray.config.config import Config
from mint_ray.pipeline import graph as pipeline
from mint_ray.pipeline.check import load_run
from mint_ray.pipeline.progress import Progress
from mint_ray.reports.axes import tick_labels, ticks
from mint_ray.reports.svg import circle, line, polyline, text

RANK, RATE, SEED = "student.lora_rank", "training.learning_rate", "seed"
MODES = {"scaled": "true", "fixed": "false"}
MEASURES = {"loss": "training loss, last steps (log)", "mrr": "validation MRR at the end"}
LOSSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Places of a logarithmic axis."""
COLOURS = ("c-amber", "c-teal", "c-indigo", "c-rose", "c-grey")
_LAST = 5  # steps whose loss is averaged
_WIDTH, _HEIGHT = 330, 270

Point = dict[str, float]


def configure(config: str, overrides: Sequence[str], mode: str, given: Any) -> Config:
    """The campaign over the whole grid, with or without scaling."""
    space = {
        RANK: {"kind": "choice", "values": given.ranks},
        RATE: {"kind": "choice", "values": given.rates},
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
        f"tune.scale_alpha={MODES[mode]}",
    ]
    return load_run(config, told)


def points(config: Config, given: Any) -> list[Point]:
    """One row per finished trial of the grid."""
    found = []
    for one in results_of(config).trials:
        rank, rate, seed = (one.trial.choices[name] for name in (RANK, RATE, SEED))
        inside = rank in given.ranks and rate in given.rates and seed in given.seeds
        if not inside or one.trial.state != "finished":
            continue
        last = statistics.fmean(row["loss"] for row in one.curve[-_LAST:])
        row = {"rank": rank, "rate": rate, "seed": seed, "loss": last}
        found.append(row | {"mrr": one.last["validation/mrr"]})
    return found


def best_rates(found: Sequence[Point]) -> dict[str, float]:
    """Learning rate of the lowest mean loss, by rank."""
    ranks = sorted({row["rank"] for row in found})
    return {
        f"{rank:g}": min(_means(found, rank, "loss"), key=lambda at: at[1])[0] for rank in ranks
    }


def _means(found: Sequence[Point], rank: float, name: str) -> list[tuple[float, float]]:
    """(rate, mean over seeds) of a rank, by rate."""
    rows = [row for row in found if row["rank"] == rank]
    rates = sorted({row["rate"] for row in rows})
    return [
        (rate, statistics.fmean(row[name] for row in rows if row["rate"] == rate)) for rate in rates
    ]


def draw(path: Path, modes: dict[str, list[Point]]) -> None:
    """A row of panels per measure, a column per mode, a line per rank."""
    shapes: list[str] = []
    for down, measure in enumerate(MEASURES):
        for across, mode in enumerate(modes):
            corner = _WIDTH * across + 20, _HEIGHT * down + 10
            shapes += _panel(corner, measure, mode, modes)
    height = _HEIGHT * len(MEASURES) + 40
    ranks = sorted({row["rank"] for found in modes.values() for row in found})
    for place, rank in enumerate(ranks):
        x, y = 60 + 110 * place, height - 16
        shapes.append(circle(x, y - 4, 5, f"dot {COLOURS[place % len(COLOURS)]}"))
        shapes.append(text(x + 12, y, f"rank {rank:.0f}", "label"))
    title = "Loss and metric by learning rate, one line per LoRA rank, alpha scaled and fixed"
    write_figure(path, _WIDTH * len(modes) + 30, height, title, shapes)


def _panel(
    corner: tuple[float, float], measure: str, mode: str, modes: dict[str, list[Point]]
) -> list[str]:
    left, top = corner
    rows = [row for found in modes.values() for row in found]
    values = [row[measure] for row in rows]
    marks = _losses(values) if measure == "loss" else ticks(min(values), max(values))
    scale = math.log if measure == "loss" else float
    rates = sorted({row["rate"] for row in rows})
    ends = math.log(rates[0]), math.log(rates[-1])

    def x(rate: float) -> float:
        share = (math.log(rate) - ends[0]) / (ends[1] - ends[0]) if ends[1] > ends[0] else 0.5
        return left + 50 + 230 * share

    def y(value: float) -> float:
        low, high = scale(marks[0]), scale(marks[-1])
        return top + 210 - 170 * (scale(value) - low) / (high - low)

    shapes = [text(left + 30, top + 18, f"alpha {mode}: {MEASURES[measure]}", "label")]
    for value, label in zip(marks, tick_labels(marks), strict=True):
        shapes.append(line(left + 40, y(value), left + 290, y(value), "grid"))
        shapes.append(text(left + 34, y(value) + 4, label, "tick", "end"))
    shapes += [text(x(rate), top + 230, f"{rate:.3g}", "tick", "middle") for rate in rates]
    shapes.append(text(left + 165, top + 247, "learning rate", "tick", "middle"))
    for place, rank in enumerate(sorted({row["rank"] for row in rows})):
        style, means = COLOURS[place % len(COLOURS)], _means(modes[mode], rank, measure)
        spots = [(x(rate), y(value)) for rate, value in means]
        shapes.append(polyline(spots, f"curve {style}"))
        own = [row for row in modes[mode] if row["rank"] == rank]
        shapes += [circle(x(row["rate"]), y(row[measure]), 3.5, f"dot {style}") for row in own]
    return shapes


def _losses(values: Sequence[float]) -> list[float]:
    """The places of `LOSSES` around some values."""
    below = [mark for mark in LOSSES if mark <= min(values)][-1:]
    above = [mark for mark in LOSSES if mark >= max(values)][:1]
    return below + [m for m in LOSSES if min(values) < m < max(values)] + above


def main() -> None:
    """Run both campaigns, write figures and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value")
    parser.add_argument("--ranks", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-4, 1e-3, 3e-3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_intermixed_args()
    modes, campaigns = {}, {}
    for mode, scaled in MODES.items():
        config = configure(given.config, given.overrides, mode, given)
        pipeline.run_steps(config, pipeline.needed_for("tune", config), None, Progress())
        modes[mode] = points(config, given)
        told = [*given.overrides, f"tune.scale_alpha={scaled}"]
        campaigns[mode] = record_campaign(config, " ".join(["mint tune", given.config, *told]))
    content = {
        "best_rate_by_rank": {mode: best_rates(found) for mode, found in modes.items()},
        "points": modes,
        "campaigns": campaigns,
    }
    given.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draw(given.out.with_suffix(".svg"), modes)


if __name__ == "__main__":
    main()
