"""Stage `teach`: fit of the multimodal teacher on Ray Train, and of its cross-fitted copies."""

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray.train

from mint_ray.common.files import read_json, write_json
from mint_ray.config.config import Config
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.runtime.metrics_stream import append_metrics, follow_metrics
from mint_ray.runtime.ray_train import fit, use_resources
from mint_ray.runtime.session import begin_training_session
from mint_ray.stages.workers.fold_teachers import SUMMARY, fit_folds
from mint_ray.teachers.base import load_manifest
from mint_ray.teachers.cross_fit import plan_folds, write_folds
from mint_ray.teachers.fit_cases import fit_folder
from mint_ray.teachers.registry import epochs_of, find_fitter, misses_reports


def run(context: StepContext) -> StepOutcome:
    """Fit the configured teacher on all training groups, and once more without each part."""
    config, output = context.config, context.output
    recorded = find_fitter(config).recorded  # raises ConfigError for settings that cannot work
    parts = 0 if recorded else config.teacher.cross_fit_folds
    cases_file = context.inputs["cases"] / "cases.parquet"
    fold_of = plan_folds(cases_file, parts, config.seed)
    if parts and not fold_of:
        context.progress.say(
            "all training cases are of one group: they are ranked by the teacher that is fitted "
            "to them, whose scores of them are optimistic"
        )
    if misses_reports(config):
        context.progress.say(
            f"cases.modalities=laboratory_in_report, but teacher.name={config.teacher.name} "
            "reads none: it knows no more of a case than the student will; use stacked or endpoint"
        )
    group = ("teacher_workers", config.resources.teacher_workers)
    begin_training_session(config.resources, output, context.progress.say, group)
    settings = {
        "config": config.model_dump(mode="json"),
        "output": str(output),
    }

    epochs = epochs_of(config)

    def watch(metrics: dict[str, float]) -> None:
        context.run.log_metrics(metrics, step=int(metrics["step"]))
        told = [f"{name} {value:.3f}" for name, value in metrics.items() if name != "step"]
        context.progress.update(metrics["step"], epochs, ", ".join(told))

    if not (output / SUMMARY).exists():
        cases = context.inputs["cases"]
        # A recorded teacher is asked about every case, whatever it was made from.
        folder = nullcontext(cases) if recorded else fit_folder(cases, output / "fit_cases")
        with folder as source, follow_metrics(output, watch):
            settings["cases"] = str(source)
            fit(_worker, settings, output, config.resources.teacher_workers, config.resources)
    metrics = read_json(output / SUMMARY)
    manifest = load_manifest(output)
    context.progress.say(f"teacher {manifest['name']}, revision {manifest['revision']}")
    counts = {name: value for name, value in metrics.items() if not name.startswith("validation.")}
    context.progress.say(", ".join(f"{name} {value:g}" for name, value in counts.items()))
    facts = {"teacher": manifest["name"], "revision": manifest["revision"]}
    if fold_of:
        facts["folds"] = _cross_fit(context, fold_of)
    splits = pq.read_table(cases_file, columns=["split"])["split"]
    return StepOutcome(
        rows_in=len(splits),
        rows_out=pc.sum(pc.equal(splits, "train")).as_py(),
        metrics=metrics,
        facts=facts,
    )


def _cross_fit(context: StepContext, fold_of: dict[str, int]) -> int:
    """Fit the teachers of all parts, and return their number."""
    n_folds = len(set(fold_of.values()))

    def on_fitted(fold: int, metrics: dict[str, float]) -> None:
        told = [f"{name} {value:.3f}" for name, value in metrics.items()]
        context.progress.say(", ".join([f"fitted without part {fold + 1} of {n_folds}", *told]))

    cases, output = context.inputs["cases"], context.output
    fit_folds(context.config, cases, output, fold_of, on_fitted)
    return len(write_folds(output, fold_of))


def _worker(settings: dict[str, Any]) -> None:
    """Run the learning code on one Ray Train worker, with its reports sent to Ray."""
    config = Config.model_validate(settings["config"])
    source, output = Path(settings["cases"]), Path(settings["output"])
    use_resources(config.resources)
    first = ray.train.get_context().get_world_rank() == 0

    def report(metrics: dict[str, float]) -> None:
        if first:
            append_metrics(output, metrics)
        ray.train.report(metrics)

    started = time.monotonic()
    metrics = find_fitter(config).load()(source, config, output, report)
    seconds = time.monotonic() - started
    if first:
        rows = pq.read_metadata(source / "cases.parquet").num_rows
        write_json(output / SUMMARY, metrics | {"rows_per_second": rows / seconds})
