"""Stage `compare`: the rankings of all compared systems, joined, measured and set side by side.

No model runs here. Writes `predictions.parquet`, `metrics.json`, `differences.json`, `costs.json`
and `report.html`.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.dataset as pds
import pyarrow.parquet as pq

from mint_ray.cases.schema import MADE_SOURCES
from mint_ray.common.files import write_json
from mint_ray.config.config import Config
from mint_ray.errors import DataError
from mint_ray.evaluation.case_sample import choose_cases, sampled_from
from mint_ray.evaluation.comparison import (
    Evaluated,
    SystemCost,
    compared_systems,
    differences_from,
    join_evaluations,
    write_differences,
)
from mint_ray.evaluation.measurement import measure_answers
from mint_ray.evaluation.predictions import read_predictions, write_predictions
from mint_ray.evaluation.results import write_metrics
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.extra_inputs import STUDENT, evaluation_of, system_configs
from mint_ray.pipeline.manifest import Manifest, read_manifest
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.reports.comparison.report import ComparisonReport, write_report
from mint_ray.tasks.task import TASKS


def run(context: StepContext) -> StepOutcome:
    """Join the predictions of all systems, measure them and their differences, write the report."""
    config, output, cases = context.config, context.output, context.inputs["cases"]
    settings, reference = config.evaluation, config.compare.reference
    all_cases = pq.read_table(
        cases / "cases.parquet",
        columns=["case_id", "group_id", "split", "label_id", "label_name", "seen", "publications"],
        filters=~pds.field("source").isin(list(MADE_SOURCES)),
    )
    tested = choose_cases(
        all_cases,
        settings.max_cases,
        config.seed,
        max_per_group=settings.group_limit(config.task),
    )
    ids = sorted(tested["case_id"].to_pylist())
    folders = {name: context.inputs[evaluation_of(name)] for name in config.compare.systems}
    evaluations = {name: _read_evaluation(folder) for name, folder in folders.items()}
    answers = join_evaluations(evaluations, ids, ids[: settings.generate_cases])
    write_predictions(output / "predictions.parquet", answers.predictions)

    context.progress.update(0, 1, f"{len(answers.systems)} systems, {len(ids)} cases")
    measurement = measure_answers(
        answers,
        tested,
        Catalogue.read(cases / "catalogue.parquet"),
        settings=settings,
        seed=config.seed,
        task=TASKS[config.task],
    )
    write_metrics(output / "metrics.json", measurement.metrics)
    differences = differences_from(
        measurement, reference, samples=settings.bootstrap_samples, seed=config.seed
    )
    write_differences(output / "differences.json", reference, differences)
    costs = _costs(config, folders)
    write_json(output / "costs.json", {name: asdict(cost) for name, cost in costs.items()})
    write_report(
        output / "report.html",
        ComparisonReport(
            run_name=config.name,
            created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            measurement=measurement,
            groups=len(np.unique(measurement.cases.groups)),
            reference=reference,
            differences=differences,
            costs=costs,
            systems=config.compare.systems,
            tested=sampled_from(config, "test").describe(),
            bins=settings.calibration_bins,
            samples=settings.bootstrap_samples,
            versions=_manifest_of(cases).versions,
        ),
    )
    for name in ("metrics.json", "differences.json", "costs.json", "report.html"):
        context.run.log_artifact(output / name)
    names = compared_systems(measurement)
    return StepOutcome(
        rows_in=answers.predictions.num_rows,
        rows_out=tested.num_rows,
        metrics={
            f"{name}.all.{metric}": value["value"]
            for name in names
            for metric, value in measurement.metrics[name]["all"].items()
            if value["value"] is not None
        },
        facts={
            "systems": names,
            "reference": reference,
            "tested": asdict(sampled_from(config, "test")),
        },
    )


def _read_evaluation(folder: Path) -> Evaluated:
    manifest = _manifest_of(folder)
    return Evaluated(
        predictions=read_predictions(folder / "predictions.parquet"),
        student=manifest.facts["student"],
        cases=manifest.inputs["cases"],
        tested=manifest.rows_out,
        drawn=manifest.facts["tested"],
    )


def _costs(config: Config, folders: Mapping[str, Path]) -> dict[str, SystemCost]:
    """Return the cost of each system that trains a student; trainings that it starts from count."""
    configs, costs = system_configs(config), dict[str, SystemCost]()
    for name, each in configs.items():  # each after the one that it starts from
        evaluated = _manifest_of(folders[name])
        trained = _manifest_of(folders[name].parent / evaluated.inputs["train"])
        start = config.compare.systems[name].start_from
        before = costs[start] if start is not None else SystemCost(0, 0.0, None)
        alone = each.evaluation.systems == (STUDENT,)
        costs[name] = SystemCost(
            steps=before.steps + trained.facts["steps"],
            training_seconds=before.training_seconds + trained.facts["seconds"],
            ranking_seconds=evaluated.wall_seconds if alone else None,
        )
    return {
        name: cost for name, cost in costs.items() if STUDENT in configs[name].evaluation.systems
    }


def _manifest_of(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    if manifest is None:
        raise DataError(f"{folder} has no manifest; run the comparison again")
    return manifest
