"""Stage `train`: alignment of the student on preference pairs, on Ray Train with DeepSpeed."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from mint_ray.config.evaluation import EvaluationConfig
from mint_ray.evaluation.learning_rates import read_choice
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.runtime.metrics_stream import follow_metrics
from mint_ray.runtime.placement import fewest_workers
from mint_ray.runtime.ray_train import fit
from mint_ray.runtime.session import begin_training_session
from mint_ray.runtime.worker_log import new_worker_lines
from mint_ray.stages.workers.members import average_members
from mint_ray.stages.workers.training import (
    make_base_model,
    outcome_of,
    read_summary,
    refuse_leakage,
    train_worker,
    worker_settings,
    write_validation_cases,
)
from mint_ray.tuning.space import with_overrides

WATCHED_CASES = "validation.parquet"
"""File in the step's folder with the cases of `training.watch`."""
USUAL_STARTS = {"dpo": "sft", "cft": "orpo", "rcft": "orpo"}
"""Objective of the student from which the papers' trainings continue, by objective."""


def run(context: StepContext) -> StepOutcome:
    """Train the student or continue an interrupted training, and write the finished student.

    With `training.members` the student is the mean of those that other trainings have finished.
    """
    if context.config.training.members > 1:
        return average_members(context)
    # Watched cases are drawn and ranked by the defaults: the step does not depend on `evaluation`.
    config = context.config.model_copy(update={"evaluation": EvaluationConfig()})
    output = context.output
    if "rates" in context.inputs:
        rate = read_choice(context.inputs["rates"]).chosen
        context.progress.say(f"[Rates] learning rate {rate:g}, chosen by validation cases")
        context.run.log_params({"chosen_learning_rate": rate})
        config = with_overrides(config, {"training.learning_rate": rate})
    prefer, cases = context.inputs["prefer"], context.inputs["cases"]
    refuse_leakage(prefer)
    warning = missing_start(config.training.objective, config.student.init_adapter)
    if warning:
        context.progress.say(warning)
    workers = fewest_workers(config.resources)
    begin_training_session(
        config.resources, output, context.progress.say, ("train_workers", workers)
    )
    make_base_model(config.student.base_model, context.progress.say)
    lineage = {name: folder.name for name, folder in context.inputs.items()}
    candidates = context.inputs.get("candidates")
    settings = worker_settings(config, prefer, cases, output, lineage, candidates)
    watch_settings = config.training.watch
    if watch_settings.cases and config.training.trainer == "mint_ray":
        file = output / WATCHED_CASES
        n_cases = write_validation_cases(config, cases, watch_settings.cases, file)
        context.progress.say(f"[Watch] {n_cases} validation cases, {watch_settings.steps} steps")
        settings["validation"] = {"cases": str(file), "every": watch_settings.steps}
    worker_lines = new_worker_lines(output)

    def say_worker_lines() -> None:
        for line in worker_lines.read():
            context.progress.say(line.decode("utf-8", "replace"))

    def watch(metrics: dict[str, float]) -> None:
        say_worker_lines()
        context.run.log_metrics(metrics, step=int(metrics["step"]))
        context.progress.update(metrics["step"], metrics["steps"], _progress_detail(metrics))

    try:
        with follow_metrics(output, watch):
            fit(train_worker, settings, output, config.resources.train_workers, config.resources)
    finally:
        say_worker_lines()
    outcome = outcome_of(read_summary(output))
    rate = config.training.learning_rate
    return replace(outcome, facts={**outcome.facts, "learning_rate": rate})


def missing_start(objective: str, start: Path | None) -> str | None:
    """Return a warning if an objective continues from a student and none is given; else None."""
    usual = USUAL_STARTS.get(objective)
    if usual is None or start is not None:
        return None
    return (
        f"warning: training.objective={objective} usually continues from an {usual} student "
        "(student.init_adapter=FOLDER); this training starts from the base model"
    )


def _progress_detail(metrics: Mapping[str, float]) -> str:
    if "loss" not in metrics:
        return "validation cases before the first step"
    parts = [f"loss {metrics['loss']:.3f}"]
    for name, words in (("rewards/accuracies", "pair accuracy"), ("accuracy", "accuracy")):
        if name in metrics:
            parts.append(f"{words} {metrics[name]:.2f}")
    left = timedelta(seconds=round(metrics["eta_seconds"]))
    return ", ".join([*parts, f"{metrics['pairs_per_second']:.2f} pairs/s, {left} left"])
