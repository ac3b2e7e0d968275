"""Resumable batched inference over a case table with a Ray Data actor pool.

One output row per case, written in blocks of one batch. A run that was cut off leaves whole
files (kept) and at most one torn file per writer (removed); the next run reads only the cases
that no whole file holds. Ray Data's own checkpoint does the same with a second actor pool,
which on a machine of two CPUs waits for ever for a CPU.

Ray Data passes row numbers, and each actor reads its rows from the table. If Ray Data passed the
rows, reading would run ahead of a slow model until Ray's object store held the whole table with its
images. A limit on the store does not help: with large blocks Ray then waits ten seconds at a time.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import ray.data

from mint_ray.common.parquet import group_starts
from mint_ray.config.resources import ResourcesConfig
from mint_ray.errors import DataError

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 256
"""Number of cases whose rows are read back together."""


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


def infer(
    job: CaseInference,
    source: Path,
    output: Path,
    resources: ResourcesConfig,
    only: frozenset[str] | None = None,
) -> pa.Table:
    """Return all rows of `infer_in_order` as one table."""
    return pa.concat_tables(
        [job.schema.empty_table(), *infer_in_order(job, source, output, resources, only)]
    )


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
        DataError: a wanted case is missing or doubled in the output.
    """
    ids = pq.read_table(source, columns=["case_id"])["case_id"].to_pylist()
    wanted = set(ids) if only is None else only.intersection(ids)
    output.mkdir(parents=True, exist_ok=True)
    missing = wanted - finished_cases(output, job.schema)
    if missing:
        rows = [row for row, case_id in enumerate(ids) if case_id in missing]
        _write_rows(job, source, output, resources, rows)
    return _in_order(output, job.schema, sorted(wanted))


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


def _write_rows(
    job: CaseInference,
    source: Path,
    output: Path,
    resources: ResourcesConfig,
    rows: Sequence[int],
) -> None:
    # One batch is a block, one written block is the grain of resumption.
    batches = [
        pa.table({"rows": [rows[at : at + job.batch_size]]})
        for at in range(0, len(rows), job.batch_size)
    ]
    data = ray.data.from_arrow(batches).map_batches(
        RowReader,
        batch_size=1,
        batch_format="pyarrow",
        compute=actor_pool(resources, len(batches)),
        num_cpus=resources.cpus_per_worker,
        num_gpus=resources.gpus_per_worker,
        fn_constructor_args=(job, str(source)),
    )
    data.write_parquet(str(output))


class RowReader:
    """Ray Data actor that reads requested rows of the case table and passes them to `job.actor`.

    `job.actor` is built once. The row group that was read last is kept, since the
    next batch often lies in it too.
    """

    def __init__(self, job: CaseInference, source: str) -> None:
        self._actor = job.actor(**job.arguments)
        # With pre-buffering, Arrow would keep every row group that it has read.
        self._file = pq.ParquetFile(source, pre_buffer=False)
        self._columns = list(job.columns)
        self._starts = np.array(group_starts(self._file))
        self._group, self._group_rows = -1, pa.table({})

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = np.array(batch["rows"][0].as_py())
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        parts = [
            self._read(group).take(rows[groups == group] - self._starts[group])
            for group in np.unique(groups).tolist()
        ]
        return self._actor(pa.concat_tables(parts))

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
        if part["case_id"].to_pylist() != ids:
            raise DataError(
                f"expected {len(ids)} cases once each, found {part.num_rows} rows of "
                f"{len(pc.unique(part['case_id']))} cases; run the stage again with --force"
            )
        yield part
