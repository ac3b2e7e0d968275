"""Ray Train worker of a student's training: the learning code, with its reports sent to Ray.

Shared by the stages `train` (one run) and `tune` (the runs of a campaign).
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.dataset as pds
import pyarrow.parquet as pq
import ray.train
from ray.train import Checkpoint

from mint_ray.cases.splits import check_no_leakage
from mint_ray.common.collectives import agree
from mint_ray.common.files import read_json, replacing, write_json
from mint_ray.config.config import Config
from mint_ray.evaluation.case_sample import choose_cases
from mint_ray.pipeline.steps import StepOutcome
from mint_ray.runtime.metrics_stream import append_metrics
from mint_ray.runtime.ray_train import RUN_NAME, use_resources
from mint_ray.runtime.worker_log import keep_worker_log
from mint_ray.students.engines.checkpoints import latest_good
from mint_ray.students.models.base_models import EMBEDDED_VISION, resolve_base_model
from mint_ray.students.models.embedded_text import EMBEDDED
from mint_ray.students.training.trainer import TrainingSummary, train
from mint_ray.students.training.trl_orpo import train_with_trl
from mint_ray.students.training_spec import TrainingSpec, ValidationPlan
from mint_ray.tasks.task import TASKS
from mint_ray.tuning.trials import RUNGS, TRIAL

logger = logging.getLogger(__name__)

SUMMARY = "summary.json"
CANDIDATES = "candidates.parquet"
"""File of `TrainingSpec.candidates` in the folder of a `candidates` step."""
PATIENCE = 120.0
"""Seconds that a trial waits at a rung for the campaign's decision."""


def worker_settings(
    config: Config,
    prefer: Path,
    cases: Path,
    output: Path,
    lineage: Mapping[str, str],
    candidates: Path | None = None,
) -> dict[str, Any]:
    """Return the plain values that `train_worker` needs.

    Args:
        config: config of the run.
        prefer, cases: output folders of these steps.
        output: folder of the finished student.
        lineage: names of the steps that the student is made from.
        candidates: output folder of that step, if the training reads it.
    """
    settings = {
        "config": config.model_dump(mode="json"),
        "pairs": str(prefer / "train.parquet"),
        "catalogue": str(cases / "catalogue.parquet"),
        "output": str(output),
        "lineage": dict(lineage),
    }
    if candidates is not None:
        settings["candidates"] = str(candidates / CANDIDATES)
    return settings


def train_worker(settings: dict[str, Any]) -> None:
    """Train a student or continue its training; the first worker writes metrics, log and summary.

    Args:
        settings: see `worker_settings`. With `validation` (the path of `cases`, and `shares` of
            the steps) the cases are ranked after these shares, and the metrics kept as rungs. With
            `every` instead of `shares` they are ranked after each so many steps, without rungs.
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
            seed=config.seed,
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
        if first:
            write_summary(output, summary)


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


def write_validation_cases(config: Config, cases: Path, most: int, file: Path) -> int:
    """Write validation cases for `train_worker`, the same in every run; return their number.

    Args:
        config: task, seed, and the limit of cases of a group.
        cases: folder of the cases step.
        most: largest number of cases.
        file: to write.
    """
    columns = ["case_id", "group_id", "label_id", TASKS[config.task].input_modality]
    chosen = choose_cases(
        pq.read_table(cases / "cases.parquet", columns=[*columns, "split", "seen"]),
        most,
        config.seed,
        split="validation",
        max_per_group=config.evaluation.group_limit(config.task),
    )
    with replacing(file) as partial_file:
        pq.write_table(chosen.select(columns), partial_file)
    return int(chosen.num_rows)


def write_summary(output: Path, summary: TrainingSummary) -> None:
    """Write the summary beside the student; it appears whole or not at all."""
    write_json(output / SUMMARY, asdict(summary))


def read_summary(output: Path) -> TrainingSummary:
    """Read the summary that `write_summary` wrote."""
    return TrainingSummary(**read_json(output / SUMMARY))


def refuse_leakage(prefer: Path) -> None:
    """Raise DataError if splits of the pairs share a group; see `check_no_leakage`."""
    files = [prefer / f"{split}.parquet" for split in ("train", "validation", "test")]
    check_no_leakage(pds.dataset(files).to_table(columns=["group_id", "split"]).to_pylist())


def make_base_model(name: str, say: Callable[[str], None]) -> None:
    """Build an embedded base model here, with all cores, if this machine's cache lacks it."""
    if name not in (EMBEDDED, EMBEDDED_VISION):
        return
    say("embedded base model: its first use builds it, which can take some minutes")
    base = resolve_base_model(name)
    say(f"base model {base.reference}, revision {base.revision}")


def outcome_of(summary: TrainingSummary) -> StepOutcome:
    """Return the outcome of a finished training for the manifest of its step."""
    return StepOutcome(
        rows_in=summary.pairs + sum(summary.rejected.values()),
        rows_out=summary.pairs,
        rejected=summary.rejected,
        # The prefix separates them from the curves of the same names, which are logged by step.
        metrics={f"final.{name}": value for name, value in summary.metrics.items()},
        facts={
            name: getattr(summary, name)
            for name in ("layout", "attention", "steps", "cases", "seconds", "regime")
        },
    )
