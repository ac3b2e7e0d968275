"""Stage `compare`: the rankings of all compared systems, joined, measured and set side by side.

No model runs here. Writes `predictions.parquet`, `metrics.json`, `differences.json`, `costs.json`,
`watched.json`, `rates.json` and `report.html`.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mint_ray.common.files import write_json
from mint_ray.evaluation.case_sample import read_tested, sampled_from
from mint_ray.evaluation.comparison import (
    Evaluated,
    compared_outcomes,
    join_evaluations,
    paired_differences,
    write_differences,
)
from mint_ray.evaluation.contrasts import contrasts_of
from mint_ray.evaluation.measurement import measure_answers
from mint_ray.evaluation.predictions import read_predictions, write_predictions
from mint_ray.evaluation.results import Metrics, has_classes, read_metrics, write_metrics
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.extra_inputs import STUDENT, answers_input, shown_names, system_configs
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.reports.comparison.report import ComparisonReport, write_report
from mint_ray.stages.compare.trainings import (
    costs_of,
    manifest_of,
    rates_of,
    watched_of,
)
from mint_ray.tasks.task import TASKS
from mint_ray.tracking.tracker import CHILDREN


def run(context: StepContext) -> StepOutcome:
    """Join the predictions of all systems, measure them and their differences, write the report."""
    config, output, cases = context.config, context.output, context.inputs["cases"]
    settings, reference = config.evaluation, config.compare.reference
    compared = {name: each for name, each in config.compare.systems.items() if each.compared}
    configs = system_configs(config)
    names = {
        system: shown_names(system, configs[system], each.asked)
        for system, each in compared.items()
    }
    folders = {name: context.inputs[answers_input(name, each)] for name, each in compared.items()}
    _, tested = read_tested(cases, config)
    ids = tested["case_id"].to_pylist()  # ascending, as `evaluate` takes those with free answers
    answers = join_evaluations(
        {system: _read_evaluation(folders[system], names[system]) for system in names},
        ids,
        ids[: settings.generate_cases],
    )
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
    metrics, outcomes = measurement.metrics, compared_outcomes(measurement)
    write_metrics(output / "metrics.json", metrics)
    differences = paired_differences(
        outcomes,
        measurement.cases,
        reference,
        samples=settings.bootstrap_samples,
        seed=config.seed,
        by_class=has_classes(metrics),
    )
    contrasts = contrasts_of(
        outcomes,
        measurement.cases,
        config.compare.contrasts,
        samples=settings.bootstrap_samples,
        seed=config.seed,
        by_class=has_classes(metrics),
    )
    write_differences(output / "differences.json", reference, differences, contrasts)
    costs = {
        name: cost
        for system in names
        for name, cost in costs_of(folders[system], names[system]).items()
    }
    write_json(output / "costs.json", {name: asdict(cost) for name, cost in costs.items()})
    students = _students(folders, names)
    along = {name: watched_of(folder) for name, folder in students.items()}
    watched = {name: rows for name, rows in along.items() if rows}
    write_json(output / "watched.json", watched)
    choices = {name: rates_of(folder) for name, folder in students.items()}
    rates = {name: choice for name, choice in choices.items() if choice is not None}
    write_json(output / "rates.json", {name: asdict(choice) for name, choice in rates.items()})
    write_report(
        output / "report.html",
        ComparisonReport(
            run_name=config.name,
            created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            measurement=measurement,
            groups=len(np.unique(measurement.cases.groups)),
            reference=reference,
            differences=differences,
            contrasts=contrasts,
            costs=costs,
            watched=watched,
            rates=rates,
            systems=config.compare.systems,
            tested=sampled_from(config, "test").describe(),
            bins=settings.calibration_bins,
            samples=settings.bootstrap_samples,
            versions=manifest_of(cases).versions,
        ),
    )
    _track(context, names, metrics)
    return StepOutcome(
        rows_in=answers.predictions.num_rows,
        rows_out=tested.num_rows,
        metrics={
            f"{name}.all.{metric}": value
            for name in outcomes
            for metric, value in _overall(metrics, name).items()
        },
        facts={
            "systems": list(outcomes),
            "reference": reference,
            "tested": asdict(sampled_from(config, "test")),
        },
    )


def _read_evaluation(folder: Path, names: Mapping[str, str]) -> Evaluated:
    manifest = manifest_of(folder)
    return Evaluated(
        predictions=read_predictions(folder / "predictions.parquet"),
        names={
            manifest.facts["student"] if word == STUDENT else word: name
            for word, name in names.items()
        },
        tested=manifest.rows_out,
        measured=frozenset(read_metrics(folder / "metrics.json")),
    )


def _students(
    folders: Mapping[str, Path], names: Mapping[str, Mapping[str, str]]
) -> dict[str, Path]:
    """Return the evaluation of each compared student that was trained, by its shown name."""
    return {
        name: folders[system]
        for system, by_word in names.items()
        for word, name in by_word.items()
        if word == STUDENT
    }


def _overall(metrics: Metrics, system: str) -> dict[str, float]:
    values = metrics[system]["all"].items()
    return {metric: value["value"] for metric, value in values if value["value"] is not None}


def _track(context: StepContext, names: Mapping[str, Mapping[str, str]], metrics: Metrics) -> None:
    """Record the files, and each system as a run below that of the comparison."""
    for file in (
        "metrics.json",
        "differences.json",
        "costs.json",
        "watched.json",
        "rates.json",
        "report.html",
    ):
        context.run.log_artifact(context.output / file)
    for system, by_word in names.items():
        settings = context.config.compare.systems[system]
        answers = context.inputs[answers_input(system, settings)].name
        for name in by_word.values():
            child = context.run.child(context.output / CHILDREN / name)
            child.log_params(
                {
                    "overrides": settings.overrides,
                    "start_from": settings.start_from,
                    "evaluation": answers,
                }
            )
            child.log_metrics(_overall(metrics, name))
            child.set_status("FINISHED")
