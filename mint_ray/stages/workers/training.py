"""Inputs and results of a student's training on Ray Train, and the function of its workers.

Shared by the stages `train` (one run) and `tune` (the runs of a campaign).
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.dataset as pds
import pyarrow.parquet as pq

from mint_ray.cases.splits import check_no_leakage
from mint_ray.common.files import read_json, replacing, write_json
from mint_ray.common.imports import collection_paused
from mint_ray.config.config import Config
from mint_ray.config.training import EMBEDDED, EMBEDDED_VISION
from mint_ray.evaluation.case_sample import choose_cases
from mint_ray.pipeline.steps import StepOutcome
from mint_ray.students.training_spec import TrainingSummary
from mint_ray.tasks.task import TASKS

SUMMARY = "summary.json"
CANDIDATES = "candidates.parquet"
"""File of `TrainingSpec.candidates` in the folder of a `candidates` step."""


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

    Every process that passes this function on imports its module: drivers, trials, controllers.
    What a worker alone needs takes seconds to import, and stands in a module of its own.

    Args:
        settings: see `train_student`.
    """
    with collection_paused():
        from mint_ray.stages.workers.student_worker import train_student

    summary = train_student(settings)
    if summary is not None:
        write_summary(Path(settings["output"]), summary)


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
    from mint_ray.students.models.base_models import resolve_base_model  # takes seconds

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
