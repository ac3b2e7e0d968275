"""Best learning rate of each LoRA rank, with alpha scaled by the rank and with alpha fixed.

    python benchmarks/rank_scaling.py configs/tune_demo.yaml training.max_steps=48 \
        tune.validation_cases=16 --ranks 4 16 64 --rates 5e-4 1.25e-3 3e-3 8e-3 --seeds 0 \
        --out benchmarks/results/rank_scaling.json

Two campaigns search the same grid of ranks, rates and seeds, all trials to their end. `scaled`
multiplies the update by alpha / sqrt(rank) (rsLoRA, arXiv 2312.03732), anchored at the config's own
rank; `fixed` is PEFT's alpha / rank. If the rank does not act as a learning rate, all ranks learn
best at the same rate: in the figure beside the JSON, all lines then have their lowest loss at the
same rate.
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
"""Ticks of the logarithmic axis of the loss."""
COLOURS = ("c-amber", "c-teal", "c-indigo", "c-rose", "c-grey")
_LAST = 5  # steps whose loss is averaged
_WIDTH, _HEIGHT = 330, 270

Point = dict[str, Any]


def configure(config: str, overrides: Sequence[str], mode: str, options: Any) -> Config:
    """Load the config of the campaign over the whole grid.

    Args:
        mode: a key of `MODES`.
        options: parsed options `ranks`, `rates` and `seeds`.
    """
    space = {
        RANK: {"kind": "choice", "values": options.ranks},
        RATE: {"kind": "choice", "values": options.rates},
        SEED: {"kind": "choice", "values": options.seeds},
    }
    settings = [
        *overrides,
        f"tune.space={json.dumps(space)}",
        "tune.algorithm=grid",
        "tune.trials=null",
        "tune.scheduler=none",
        "tune.first_rung=1.0",
        "tune.time_budget_minutes=null",
        f"tune.scale_alpha={MODES[mode]}",
    ]
    return load_run(config, settings)


def points(config: Config, options: Any) -> list[Point]:
    """Return one row per finished trial of the grid: rank, rate, seed, loss and MRR."""
    rows = []
    for result in results_of(config).trials:
        rank, rate, seed = (result.trial.choices[name] for name in (RANK, RATE, SEED))
        in_grid = rank in options.ranks and rate in options.rates and seed in options.seeds
        if not in_grid or result.trial.state != "finished":
            continue
        last_loss = statistics.fmean(row["loss"] for row in result.curve[-_LAST:])
        row: Point = {"rank": rank, "rate": rate, "seed": seed, "loss": last_loss}
        rows.append(row | {"mrr": result.last["validation/mrr"]})
    return rows


def best_rates(rows: Sequence[Point]) -> dict[str, float]:
    """Return the learning rate of the lowest mean loss, by rank."""
    ranks = sorted({row["rank"] for row in rows})
    return {
        f"{rank:g}": min(_means(rows, rank, "loss"), key=lambda mean: mean[1])[0] for rank in ranks
    }


def _means(rows: Sequence[Point], rank: float, name: str) -> list[tuple[float, float]]:
    """Return (rate, mean over seeds) of a rank, in ascending order of the rates."""
    rows = [row for row in rows if row["rank"] == rank]
    rates = sorted({row["rate"] for row in rows})
    return [
        (rate, statistics.fmean(row[name] for row in rows if row["rate"] == rate)) for rate in rates
    ]


def draw(path: Path, modes: dict[str, list[Point]]) -> None:
    """Draw a panel per measure (rows) and mode (columns), with a line per rank."""
    shapes: list[str] = []
    for down, measure in enumerate(MEASURES):
        for across, mode in enumerate(modes):
            corner = _WIDTH * across + 20, _HEIGHT * down + 10
            shapes += _panel(corner, measure, mode, modes)
    height = _HEIGHT * len(MEASURES) + 40
    ranks = sorted({row["rank"] for rows in modes.values() for row in rows})
    for index, rank in enumerate(ranks):
        x, y = 60 + 110 * index, height - 16
        shapes.append(circle(x, y - 4, 5, f"dot {COLOURS[index % len(COLOURS)]}"))
        shapes.append(text(x + 12, y, f"rank {rank:.0f}", "label"))
    title = "Loss and metric by learning rate, one line per LoRA rank, alpha scaled and fixed"
    write_figure(path, _WIDTH * len(modes) + 30, height, title, shapes)


def _panel(
    corner: tuple[float, float], measure: str, mode: str, modes: dict[str, list[Point]]
) -> list[str]:
    left, top = corner
    rows = [row for of_mode in modes.values() for row in of_mode]
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
    for index, rank in enumerate(sorted({row["rank"] for row in rows})):
        style, means = COLOURS[index % len(COLOURS)], _means(modes[mode], rank, measure)
        shapes.append(polyline([(x(rate), y(value)) for rate, value in means], f"curve {style}"))
        of_rank = [row for row in modes[mode] if row["rank"] == rank]
        shapes += [circle(x(row["rate"]), y(row[measure]), 3.5, f"dot {style}") for row in of_rank]
    return shapes


def _losses(values: Sequence[float]) -> list[float]:
    """Return the values of `LOSSES` that enclose some values."""
    below = [mark for mark in LOSSES if mark <= min(values)][-1:]
    above = [mark for mark in LOSSES if mark >= max(values)][:1]
    return below + [m for m in LOSSES if min(values) < m < max(values)] + above


def main() -> None:
    """Run both campaigns, and write the results and their figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value")
    parser.add_argument("--ranks", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-4, 1e-3, 3e-3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_intermixed_args()
    modes, campaigns = {}, {}
    for mode, scaled in MODES.items():
        config = configure(options.config, options.overrides, mode, options)
        pipeline.run_steps(config, pipeline.needed_for("tune", config), None, Progress())
        modes[mode] = points(config, options)
        arguments = [options.config, *options.overrides, f"tune.scale_alpha={scaled}"]
        campaigns[mode] = record_campaign(config, " ".join(["mint tune", *arguments]))
    content = {
        "best_rate_by_rank": {mode: best_rates(rows) for mode, rows in modes.items()},
        "points": modes,
        "campaigns": campaigns,
    }
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draw(options.out.with_suffix(".svg"), modes)


if __name__ == "__main__":
    main()
