"""Tuned student against the default λ 0.1 on held-out patients, within a stated time budget.

    python benchmarks/tuned_student.py configs/phenopackets.yaml cases.path=phenopackets.zip \
        knowledge.exclude_publications=publications.txt knowledge.labels=cases \
        training.batch_size=1 training.max_steps=200 \
        resources.train_workers=1 resources.cpus_per_worker=1 \
        tune.trials=6 tune.first_rung=0.4 tune.reduction_factor=4 tune.validation_cases=32 \
        tune.time_budget_minutes=25 evaluation.max_cases=24 \
        --out benchmarks/results/tuned_student.json

The campaign's trial 0 is the default: the config's own settings, including λ 0.1. The default and
the winner rank the same test cases, which the campaign did not use. The difference is paired by
case, with a 95 % interval bootstrapped over groups (publications). The figure beside the JSON shows
the differences, whether they favour tuning or not.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from figures import write_figure
from record_campaign import record_campaign, results_of

from mint_ray.config.config import Config
from mint_ray.evaluation.case_sample import choose_cases
from mint_ray.evaluation.metrics.bootstrap import Interval
from mint_ray.evaluation.metrics.validation import (
    VALIDATED_SCHEMA,
    paired_differences,
    validation_metrics,
)
from mint_ray.evaluation.results import METRICS
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline import graph as pipeline
from mint_ray.pipeline.check import load_run
from mint_ray.pipeline.progress import Progress
from mint_ray.reports.axes import tick_labels, ticks
from mint_ray.reports.svg import circle, line, text
from mint_ray.students.ranking.ranker import Ranker
from mint_ray.students.student import load_student
from mint_ray.students.training.validation import answer_row

SHOWN = ("mrr", "top1", "top3", "top10")


def rank(student: Path, cases: pa.Table, config: Config) -> pa.Table:
    """Rank cases with a student; return rows of `VALIDATED_SCHEMA`."""
    loaded = load_student(student)
    catalogue = Catalogue.read(student / "catalogue.parquet")
    settings = config.evaluation
    ranker = Ranker(
        loaded,
        catalogue.names,
        top_k=1,
        search=settings.search,
        beam_width=settings.beam_width,
        batch_size=config.resources.micro_batch_size,
    )
    answers = [catalogue.index_of(label) for label in cases["label_id"].to_pylist()]
    rankings = ranker.rank(cases[loaded.task.input_modality].to_pylist(), answers)
    rows = map(answer_row, cases.to_pylist(), rankings)
    return pa.Table.from_pylist(list(rows), VALIDATED_SCHEMA)


def measure(config: Config) -> dict[str, Any]:
    """Compare default and winner on the same test cases."""
    planned = pipeline.plan(config)
    table = pq.read_table(planned["cases"].folder / "cases.parquet")
    settings = config.evaluation
    cases = choose_cases(
        table,
        settings.max_cases,
        config.seed,
        max_per_group=settings.group_limit(config.task),
    )
    results = results_of(config)
    winner = results.winner
    if winner is None or results.default is None:
        raise SystemExit(
            "expected the default trial and a winner among the finished trials, found none; raise "
            "tune.time_budget_minutes"
        )
    answers = {
        name: rank(result.trial.folder, cases, config)
        for name, result in (("default", results.default), ("tuned", winner))
    }
    gaps = paired_differences(
        answers["tuned"],
        answers["default"],
        bins=settings.calibration_bins,
        samples=settings.bootstrap_samples,
        seed=config.seed,
    )
    return {
        "test_cases": cases.num_rows,
        "test_groups": len(set(cases["group_id"].to_pylist())),
        "labels": len(Catalogue.read(planned["cases"].folder / "catalogue.parquet")),
        "winner": winner.trial.number,
        "overrides": dict(winner.trial.overrides),
        "test": {
            name: validation_metrics(table, settings.calibration_bins)
            for name, table in answers.items()
        },
        "tuned_less_default": {name: asdict(gap) for name, gap in gaps.items()},
    }


def draw(path: Path, measured: dict[str, Any]) -> None:
    """Draw the differences of the metrics `SHOWN` with their intervals."""
    gaps = {name: Interval(**measured["tuned_less_default"][name]) for name in SHOWN}
    marks = ticks(min(gap.low for gap in gaps.values()), max(gap.high for gap in gaps.values()))
    left, width, row = 90, 420, 38
    bottom = row * len(gaps) + 30

    def x(value: float) -> float:
        return left + width * (value - marks[0]) / (marks[-1] - marks[0])

    title = f"Tuned less default on {measured['test_cases']} test cases, 95% intervals over groups"
    shapes = [text(10, 18, title, "label")]
    for value, label in zip(marks, tick_labels(marks), strict=True):
        shapes.append(line(x(value), 28, x(value), bottom, "zero" if value == 0 else "grid"))
        shapes.append(text(x(value), bottom + 16, label, "tick", "middle"))
    for index, (name, gap) in enumerate(gaps.items()):
        y = 48 + row * index
        shapes.append(text(left - 12, y + 4, METRICS[name].title, "label", "end"))
        shapes.append(line(x(gap.low), y, x(gap.high), y, "whisker c-teal"))
        shapes.append(circle(x(gap.value), y, 5, "dot c-teal"))
    write_figure(path, left + width + 30, bottom + 30, title, shapes)


def main() -> None:
    """Run the campaign, compare its winner with the default, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_intermixed_args()
    config = load_run(options.config, options.overrides)
    pipeline.run_steps(config, pipeline.needed_for("tune", config), None, Progress())
    torch.set_num_threads(2)
    command = " ".join(["mint tune", options.config, *options.overrides])
    measured = {"budget_minutes": config.tune.time_budget_minutes} | measure(config)
    options.out.write_text(json.dumps(measured | record_campaign(config, command), indent=1) + "\n")
    draw(options.out.with_suffix(".svg"), measured)


if __name__ == "__main__":
    main()
