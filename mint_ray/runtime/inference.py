"""Resumable batched inference over a case table with a Ray Data actor pool.

One output row per case, written in blocks of one batch. A run that was cut off leaves whole
files (kept) and at most one torn file per writer (removed); the next run reads only the cases
that no whole file holds. Ray Data's own checkpoint does the same with a second actor pool,
which on a machine of two CPUs waits for ever for a CPU.

Ray Data passes row numbers, and each actor reads its rows from the table. If Ray Data passed the
rows, reading would run ahead of a slow model until Ray's object store held the whole table with its
images. A limit on the store does not help: with large blocks Ray then waits ten seconds at a time.
"""

import gc
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import ray.data

from mint_ray.common.imports import collection_paused
from mint_ray.common.parquet import group_starts
from mint_ray.config.resources import ResourcesConfig
from mint_ray.errors import DataError

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 256
"""Number of cases whose rows are read back together."""
PART = "job"
"""Column by which Ray Data parts the files of jobs that are done together."""


@dataclass(frozen=True)
class CaseInference:
    """A job of batched inference over a case table.

    `actor` is built once per worker with `arguments`. It maps a `pyarrow.Table` of cases with
    the given columns to a table of `schema` with one row per case and the column `case_id`.
    """

    actor: type
    arguments: Mapping[str, Any]
    columns: tuple[str, ...]
    schema: pa.Schema
    batch_size: int


@dataclass(frozen=True)
class WantedCases:
    """Cases of a table that a job is to answer; `only` are their ids, None for all."""

    job: CaseInference
    source: Path
    only: frozenset[str] | None = None


def infer(
    job: CaseInference,
    source: Path,
    output: Path,
    resources: ResourcesConfig,
    only: frozenset[str] | None = None,
) -> pa.Table:
    """Return all rows of `infer_in_order` as one table."""
    return _joined(job, infer_in_order(job, source, output, resources, only))


def infer_in_order(
    job: CaseInference,
    source: Path,
    output: Path,
    resources: ResourcesConfig,
    only: frozenset[str] | None = None,
) -> Iterator[pa.Table]:
    """Run the job over the cases of `source`, or those in `only`; continue what `output` holds.

    Yields:
        The rows of `ROWS_AT_ONCE` cases at a time, sorted by `case_id`, each wanted case once.
        All inference is done before the first part; one part at a time is in memory.

    Raises:
        DataError: a wanted case is missing in the output.
    """
    task, wanted = _begin(WantedCases(job, source, only), output)
    _write_rows([task], output, resources)
    return _in_order(output, job.schema, wanted)


def infer_together(
    jobs: Mapping[str, WantedCases], output: Path, resources: ResourcesConfig
) -> dict[str, pa.Table]:
    """Return the rows of several jobs by name, which one pool of actors does one after another.

    An actor holds one job at a time. A pool for each job would import the same libraries and wait
    for its last batch again and again. What `output` holds of a job is continued.

    Args:
        jobs: of one schema, by name.
        output: folder with a folder of files for each job.
        resources: of the actors.

    Raises:
        DataError: a wanted case is missing in the output of its job.
    """
    tasks, wanted = list[_Task](), dict[str, list[str]]()
    for name, cases in jobs.items():
        task, wanted[name] = _begin(cases, part_of(output, name), name)
        tasks.append(task)
    _write_rows(tasks, output, resources)
    return {
        name: _joined(cases.job, _in_order(part_of(output, name), cases.job.schema, wanted[name]))
        for name, cases in jobs.items()
    }


def _joined(job: CaseInference, parts: Iterable[pa.Table]) -> pa.Table:
    return pa.concat_tables([job.schema.empty_table(), *parts])


def part_of(output: Path, name: str) -> Path:
    """Return the folder in which Ray Data writes the rows with `name` in the column `PART`."""
    return output / f"{PART}={name}"


@dataclass(frozen=True)
class _Task:
    """Rows of a table that a job has not yet answered, and the job's name among several."""

    job: CaseInference
    source: str
    rows: Sequence[int]
    name: str | None


def _begin(cases: WantedCases, output: Path, name: str | None = None) -> tuple[_Task, list[str]]:
    """Return what is left to do of a job, and the ids of all cases that it is to answer."""
    ids = pq.read_table(cases.source, columns=["case_id"])["case_id"].to_pylist()
    wanted = set(ids) if cases.only is None else cases.only.intersection(ids)
    output.mkdir(parents=True, exist_ok=True)
    missing = wanted - finished_cases(output, cases.job.schema)
    rows = [row for row, case_id in enumerate(ids) if case_id in missing]
    return _Task(cases.job, str(cases.source), rows, name), sorted(wanted)


@contextmanager
def reporting(folder: Path, report: Callable[[int], None], seconds: float = 2.0) -> Iterator[None]:
    """Report the number of finished rows in a folder, again and again, while the body runs.

    Args:
        folder: output of `infer`, which the body runs.
        report: called in a thread of its own with the rows of all whole files.
        seconds: between two reports.
    """
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(seconds):
            report(_finished_rows(folder))

    thread = threading.Thread(target=watch, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _finished_rows(folder: Path) -> int:
    """Return the number of rows in the whole files of a folder; files at work are left out."""
    rows = 0
    for file in folder.rglob("*.parquet"):
        with suppress(pa.ArrowInvalid, OSError):
            rows += pq.read_metadata(file).num_rows
    return rows


def finished_cases(folder: Path, schema: pa.Schema) -> set[str]:
    """Return the ids in the whole files of the folder; torn files are removed.

    Raises:
        DataError: a file cannot be read for another reason; it is left as it is.
    """
    finished: set[str] = set()
    for file in sorted(folder.rglob("*.parquet")):
        try:
            ids = pq.read_table(file, columns=["case_id"], schema=schema)["case_id"]
        except (pa.ArrowInvalid, OSError) as error:
            # Arrow says OSError of damaged pages too, but then without a number of the system.
            if isinstance(error, OSError) and error.errno is not None:
                raise DataError(
                    f"{file} cannot be read: {error.strerror}; its rows are kept: see to the file, "
                    "then run the same command again"
                ) from error
            logger.warning("removed %s: torn by an interrupted run", file.name)
            file.unlink()
            continue
        finished.update(ids.to_pylist())
    return finished


def _write_rows(tasks: Sequence[_Task], output: Path, resources: ResourcesConfig) -> None:
    # One batch is a block, one written block is the grain of resumption.
    batches = [
        pa.table({"task": [number], "rows": [task.rows[at : at + task.job.batch_size]]})
        for number, task in enumerate(tasks)
        for at in range(0, len(task.rows), task.job.batch_size)
    ]
    if batches:
        _run_on_ray([replace(task, rows=()) for task in tasks], batches, output, resources)


def _run_on_ray(
    tasks: Sequence[_Task], batches: Sequence[pa.Table], output: Path, resources: ResourcesConfig
) -> None:
    """Write the rows of every batch as a file of its own, into the folder of its task."""
    data = ray.data.from_arrow(list(batches)).map_batches(
        RowReader,
        batch_size=1,
        batch_format="pyarrow",
        compute=actor_pool(resources, len(batches)),
        num_cpus=resources.cpus_per_worker,
        num_gpus=resources.gpus_per_worker,
        fn_constructor_args=(tasks,),
    )
    data.write_parquet(str(output), partition_cols=[PART] if tasks[0].name else None)


class RowReader:
    """Ray Data actor that reads requested rows of a case table and passes them to a job's actor.

    The job's actor is built with its first rows, and makes room for that of the next job. The row
    group that was read last is kept, since the next batch often lies in it too.
    """

    _actor: Any

    def __init__(self, tasks: Sequence[_Task]) -> None:
        self._tasks = tasks
        self._number = -1

    def __call__(self, batch: pa.Table) -> pa.Table:
        number = batch["task"][0].as_py()
        if number != self._number:
            self._hold(number)
        rows = np.array(batch["rows"][0].as_py())
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        parts = [
            self._read(group).take(rows[groups == group] - self._starts[group])
            for group in np.unique(groups).tolist()
        ]
        answers, name = self._actor(pa.concat_tables(parts)), self._tasks[number].name
        if name is None:
            return answers
        return answers.append_column(PART, pa.array([name] * answers.num_rows, pa.string()))

    def _hold(self, number: int) -> None:
        """Build the actor of a job, and open its table."""
        self._actor = None  # one model at a time
        gc.collect()
        task = self._tasks[number]
        with collection_paused():  # the first job's actor imports what it computes with
            self._actor = task.job.actor(**task.job.arguments)
        # With pre-buffering, Arrow would keep every row group that it has read.
        self._file = pq.ParquetFile(task.source, pre_buffer=False)
        self._columns = list(task.job.columns)
        self._starts = np.array(group_starts(self._file))
        self._group, self._group_rows = -1, pa.table({})
        self._number = number

    def _read(self, group: int) -> pa.Table:
        if group != self._group:
            self._group_rows = self._file.read_row_group(group, columns=self._columns)
            self._group = group
        return self._group_rows


def actor_pool(resources: ResourcesConfig, batches: int) -> ray.data.ActorPoolStrategy:
    """Return a pool that starts as large as it may, with one CPU left for reading and writing.

    Args:
        resources: most actors, and the CPUs of each.
        batches: batches of the data; an actor beyond that number would have nothing to do, of which
            Ray Data warns.
    """
    spare = ray.cluster_resources().get("CPU", 1.0) - 1
    start = max(1, min(resources.actors, batches, int(spare / resources.cpus_per_worker)))
    return ray.data.ActorPoolStrategy(min_size=start, max_size=resources.actors)


def _in_order(folder: Path, schema: pa.Schema, wanted: Sequence[str]) -> Iterator[pa.Table]:
    rows = pds.dataset(folder, schema=schema, format="parquet")
    for at in range(0, len(wanted), ROWS_AT_ONCE):
        ids = wanted[at : at + ROWS_AT_ONCE]
        # Files hold neighbouring ids: with this range, Arrow skips most files by their statistics.
        near = (pds.field("case_id") >= ids[0]) & (pds.field("case_id") <= ids[-1])
        part = rows.to_table(filter=near & pds.field("case_id").isin(ids)).sort_by("case_id")
        part = _once_each(part)
        if part.num_rows != len(ids):
            raise DataError(
                f"expected rows of {len(ids)} cases, found those of {part.num_rows}; run the stage "
                "again with --force"
            )
        yield part


def _once_each(rows: pa.Table) -> pa.Table:
    """Return sorted rows without those of a case that stands there already.

    A writer that outlives its killed driver for a moment may still finish a file whose cases the
    next run has begun again; both say the same.
    """
    ids = rows["case_id"].to_numpy()
    is_new = np.append(True, ids[1:] != ids[:-1])[: len(ids)]
    return rows if is_new.all() else rows.filter(pa.array(is_new))
