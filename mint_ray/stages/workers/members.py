"""Average of the students of several trainings, with what their records say together."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.pipeline.extra_inputs import members_among
from mint_ray.pipeline.manifest import read_manifest
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.runtime.metrics_stream import FILE_NAME as METRICS
from mint_ray.runtime.metrics_stream import append_metrics, read_metrics_lines
from mint_ray.stages.workers.training import outcome_of, read_summary, write_summary
from mint_ray.students.training_spec import TAUGHT, TrainingSummary

_REJECTED = "rejected.parquet"
_SUMMED = ("step", "steps", "epoch", "tokens_seen", "training_seconds")
"""Metrics of the last step that add up over trainings; of the others, the mean is taken."""


def average_members(context: StepContext) -> StepOutcome:
    """Write the student with the mean of the members' weights, and its records.

    Steps, tokens and seconds are those of all members together.
    """
    from mint_ray.students.averaging import average_students  # imports torch

    folders = members_among(context.inputs)
    output = context.output
    context.progress.say(f"[Members] mean of the weights of {len(folders)} students")
    lineage = {name: folder.name for name, folder in context.inputs.items()}
    average_students(folders, output, lineage)
    shutil.copyfile(folders[0] / _REJECTED, output / _REJECTED)  # all have the same pairs
    pq.write_table(_taught([folder / TAUGHT for folder in folders]), output / TAUGHT)
    _write_metrics(folders, output)
    summary = _together([read_summary(folder) for folder in folders])
    write_summary(output, summary)
    outcome = outcome_of(summary)
    member = read_manifest(folders[0])
    rate = member.facts["learning_rate"] if member else None
    return replace(outcome, facts={**outcome.facts, "learning_rate": rate})


def _write_metrics(folders: Sequence[Path], output: Path) -> None:
    """Write the metrics of all steps, as if the members had been trained in one go."""
    (output / METRICS).unlink(missing_ok=True)  # of an interrupted run
    before = dict.fromkeys(_SUMMED, 0.0)
    for folder in folders:
        rows = sorted(read_metrics_lines(folder), key=lambda row: row["step"])
        for row in rows:
            summed = {name: before[name] + row[name] for name in _SUMMED if name in row}
            append_metrics(output, row | summed)
        if rows:
            before = {name: before[name] + rows[-1].get(name, 0.0) for name in _SUMMED}


def _taught(files: Sequence[Path]) -> pa.Table:
    """Return how often each preference row was read by all members together."""
    read = pa.concat_tables([pq.read_table(file) for file in files])
    schema = read.schema
    times = read.group_by("preference_id", use_threads=False).aggregate([("times", "sum")])
    times = times.rename_columns({"times_sum": "times"}).select(schema.names)
    return times.cast(schema).take(pc.sort_indices(times, [("preference_id", "ascending")]))


def _together(summaries: Sequence[TrainingSummary]) -> TrainingSummary:
    shared = set.intersection(*(set(summary.metrics) for summary in summaries))
    metrics = {
        name: (sum if name in _SUMMED else fmean)([summary.metrics[name] for summary in summaries])
        for name in summaries[0].metrics
        if name in shared
    }
    return replace(
        summaries[0],
        steps=sum(summary.steps for summary in summaries),
        seconds=sum(summary.seconds for summary in summaries),
        metrics=metrics,
    )
