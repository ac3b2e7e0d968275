"""Stage `compare`: the rankings of all compared systems, joined, measured and set side by side.

No model runs here. Writes `predictions.parquet`, `metrics.json`, `differences.json`, `costs.json`
and `report.html`.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mint_ray.common.files import write_json
from mint_ray.errors import DataError
from mint_ray.evaluation.case_sample import read_tested, sampled_from
from mint_ray.evaluation.comparison import (
    Evaluated,
    SystemCost,
    compared_outcomes,
    join_evaluations,
    paired_differences,
    write_differences,
)
from mint_ray.evaluation.crossovers import crossovers_of
from mint_ray.evaluation.measurement import measure_answers
from mint_ray.evaluation.predictions import read_predictions, write_predictions
from mint_ray.evaluation.results import Metrics, has_classes, write_metrics
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.extra_inputs import STUDENT, answers_input, shown_names, system_configs
from mint_ray.pipeline.manifest import Manifest, read_manifest
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.reports.comparison.report import ComparisonReport, write_report
from mint_ray.tasks.task import TASKS
from mint_ray.tracking.tracker import CHILDREN

_TRAINED = (STUDENT, "fused")
"""Words of `evaluation.systems` that answer with the trained student."""
_UNTRAINED = ("base", "larger")
"""Words for language models that cost no training here."""


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
    crossovers = crossovers_of(
        outcomes,
        measurement.cases,
        config.compare.crossovers,
        samples=settings.bootstrap_samples,
        seed=config.seed,
        by_class=has_classes(metrics),
    )
    write_differences(output / "differences.json", reference, differences, crossovers)
    costs = {
        name: cost
        for system in names
        for name, cost in _costs_of(folders[system], names[system]).items()
    }
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
            crossovers=crossovers,
            costs=costs,
            systems=config.compare.systems,
            tested=sampled_from(config, "test").describe(),
            bins=settings.calibration_bins,
            samples=settings.bootstrap_samples,
            versions=_manifest_of(cases).versions,
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
    manifest = _manifest_of(folder)
    return Evaluated(
        predictions=read_predictions(folder / "predictions.parquet"),
        names={
            manifest.facts["student"] if word == STUDENT else word: name
            for word, name in names.items()
        },
        tested=manifest.rows_out,
    )


def _costs_of(folder: Path, names: Mapping[str, str]) -> dict[str, SystemCost]:
    """Return the cost of each system that answers with a language model, or is asked."""
    evaluated = _manifest_of(folder)
    alone = evaluated.wall_seconds if len(names) == 1 else None
    untrained = SystemCost(steps=0, tokens=0.0, training_seconds=0.0, ranking_seconds=alone)
    if evaluated.stage == "reason":
        return dict.fromkeys(names.values(), untrained)
    trainings = _trainings(folder.parent / evaluated.inputs["train"])
    cost = SystemCost(
        steps=sum(training.facts["steps"] for training in trainings),
        tokens=_total(trainings, "tokens_seen"),
        training_seconds=_total(trainings, "training_seconds"),
        ranking_seconds=alone,
    )
    costs = dict.fromkeys(_TRAINED, cost) | dict.fromkeys(_UNTRAINED, untrained)
    return {name: costs[word] for word, name in names.items() if word in costs}


def _trainings(folder: Path) -> list[Manifest]:
    """Return the manifests of a finished training, and of those that it continues from."""
    chain = [_manifest_of(folder)]
    while start := chain[-1].config["student"]["init_adapter"]:
        manifest = read_manifest(Path(start))
        if manifest is None or manifest.stage != "train":
            break  # a student of another program, or the winner of a campaign
        chain.append(manifest)
    return chain


def _total(trainings: list[Manifest], metric: str) -> float | None:
    """Return the sum of a final metric; None if a training does not have it."""
    values = [training.metrics.get(f"final.{metric}") for training in trainings]
    return None if None in values else sum(value for value in values if value is not None)


def _manifest_of(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    if manifest is None:
        raise DataError(f"{folder} has no manifest; run the comparison again")
    return manifest


def _overall(metrics: Metrics, system: str) -> dict[str, float]:
    values = metrics[system]["all"].items()
    return {metric: value["value"] for metric, value in values if value["value"] is not None}


def _track(context: StepContext, names: Mapping[str, Mapping[str, str]], metrics: Metrics) -> None:
    """Record the files, and each system as a run below that of the comparison."""
    for file in ("metrics.json", "differences.json", "costs.json", "report.html"):
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
