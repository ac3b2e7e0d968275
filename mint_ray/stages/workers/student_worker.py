"""Worker of a student's training on Ray Train: the learning code, with its reports sent to Ray."""

import logging
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import ray.train
from ray.train import Checkpoint

from mint_ray.common.collectives import agree
from mint_ray.common.files import read_json
from mint_ray.config.config import Config
from mint_ray.runtime.metrics_stream import append_metrics
from mint_ray.runtime.ray_train import RUN_NAME, use_resources
from mint_ray.runtime.worker_log import keep_worker_log
from mint_ray.students.engines.checkpoints import latest_good
from mint_ray.students.training.trainer import train
from mint_ray.students.training.trl_orpo import train_with_trl
from mint_ray.students.training_spec import TrainingSpec, TrainingSummary, ValidationPlan
from mint_ray.tasks.task import TASKS
from mint_ray.tuning.trials import RUNGS, TRIAL

logger = logging.getLogger(__name__)

PATIENCE = 120.0
"""Seconds that a trial waits at a rung for the campaign's decision."""


def train_student(settings: dict[str, Any]) -> TrainingSummary | None:
    """Train a student or continue its training; the first worker writes metrics and log.

    Args:
        settings: see `worker_settings`. With `validation` (the path of `cases`, and `shares` of
            the steps) the cases are ranked after these shares, and the metrics kept as rungs. With
            `every` instead of `shares` they are ranked after each so many steps, without rungs.

    Returns:
        The summary in the first worker; None in the others, and if the campaign stopped the trial.
    """
    config = Config.model_validate(settings["config"])
    output = Path(settings["output"])
    use_resources(config.resources)
    first = ray.train.get_context().get_world_rank() == 0
    plan = _validation(settings, config)

    def report(metrics: dict[str, float], folder: Path | None) -> None:
        step = int(metrics["step"])
        rungs = plan.steps(int(metrics["steps"])) if plan and plan.every is None else []
        if first:
            append_metrics(output, metrics)
            if step in rungs:
                append_metrics(output, metrics, RUNGS)
        # Ray's report is a barrier of all workers: acceptable for a checkpoint, not for every step.
        if folder is not None:
            ray.train.report(metrics, checkpoint=Checkpoint.from_directory(str(folder)))
        if step in rungs[:-1] and agree(first and _is_stopped(output, rungs.index(step))):
            raise _Stopped

    with keep_worker_log(output) if first else nullcontext(), suppress(_Stopped):
        spec = TrainingSpec(
            pairs=Path(settings["pairs"]),
            out=output,
            student=config.student,
            candidates=Path(settings["candidates"]) if "candidates" in settings else None,
            training=config.training,
            k=config.preferences.chosen_size,
            seed=config.training_seed,
            micro_batch_size=config.resources.micro_batch_size,
            catalogue=Path(settings["catalogue"]),
            lineage=settings["lineage"],
            task=TASKS[config.task],
            validation=plan,
        )
        if config.training.trainer == "trl":
            summary = train_with_trl(spec, report)
        else:
            summary = train(spec, report, latest_good(output / RUN_NAME))
        return summary if first else None
    return None  # stopped


class _Stopped(Exception):  # noqa: N818
    """Raised if the campaign stops this training, whose last checkpoint Ray has."""


def _is_stopped(output: Path, rung: int) -> bool:
    """Wait until the campaign has decided on a rung; return whether the training ends here.

    A trial that returns by itself is certain to free its workers. A trial that Ray Tune kills is
    not: its placement group is removed only if Ray's dashboard runs.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        trial = read_json(output / TRIAL)
        if trial["state"] == "stopped":
            return True
        if trial["judged"] > rung:
            return False
        time.sleep(0.1)
    logger.warning("no decision on rung %d within %.0f s; training continues", rung, PATIENCE)
    return False


def _validation(settings: Mapping[str, Any], config: Config) -> ValidationPlan | None:
    wanted = settings.get("validation")
    if wanted is None:
        return None
    return ValidationPlan(
        cases=Path(wanted["cases"]),
        catalogue=Path(settings["catalogue"]),
        shares=tuple(wanted.get("shares", ())),
        folder=Path(settings["output"]),
        evaluation=config.evaluation,
        every=wanted.get("every"),
    )
