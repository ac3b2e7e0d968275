"""Resumable batched inference over a case table with a Ray Data actor pool.

One output row per case, written in blocks of one batch. A run that was cut off leaves whole
files (kept) and at most one torn file per writer (removed); the next run reads only the cases
that no whole file holds. Ray's own Data checkpoint does the same with one more actor pool, which
on a machine of two CPUs waits for ever for the second.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import ray.data
from ray.data.expressions import col

from mint_ray.config import ResourcesConfig
from mint_ray.errors import DataError

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 256
"""Cases whose rows are read back together."""

IN_FLIGHT_BYTES = 256 * 2**20
"""Cases and rows that may wait in Ray's object store: without a limit, reading runs ahead of a
slow model until the store holds the whole table, or all that it has room for."""


@dataclass(frozen=True)
class CaseInference:
    """What to run over a case table.

    `actor` is built once per worker with `arguments`; it maps a `pyarrow.Table` of cases with
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
    """All rows of `infer_in_order` as one table."""
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
    """Run the job over the cases of `source`, or those named in `only`; resume in `output`.

    Yields:
        The rows of `ROWS_AT_ONCE` cases at a time, sorted by `case_id`, each wanted case once.
        The work is done before the first; no more than one such part is in memory.

    Raises:
        DataError: a wanted case is missing or doubled in the output.
    """
    all_cases = set(pq.read_table(source, columns=["case_id"])["case_id"].to_pylist())
    wanted = all_cases if only is None else all_cases & only
    output.mkdir(parents=True, exist_ok=True)
    missing = wanted - finished_cases(output, job.schema)
    if missing:
        # A list of all ids would tell Ray nothing, and every read task would carry it.
        _write_cases(job, source, output, resources, None if missing == all_cases else missing)
    return _in_order(output, job.schema, sorted(wanted))


def finished_cases(folder: Path, schema: pa.Schema) -> set[str]:
    """Ids in the whole files of the folder; torn files are removed."""
    finished: set[str] = set()
    for file in sorted(folder.rglob("*.parquet")):
        try:
            ids = pq.read_table(file, columns=["case_id"], schema=schema)["case_id"]
        except (pa.ArrowInvalid, OSError):
            logger.warning("removed %s: torn by an interrupted run", file.name)
            file.unlink()
            continue
        finished.update(ids.to_pylist())
    return finished


def _write_cases(
    job: CaseInference,
    source: Path,
    output: Path,
    resources: ResourcesConfig,
    only: set[str] | None,
) -> None:
    data = ray.data.read_parquet(str(source)).select_columns(list(job.columns))
    if only is not None:
        data = data.filter(expr=col("case_id").is_in(sorted(only)))
    # One written block is the grain of resumption.
    data = data.repartition(target_num_rows_per_block=job.batch_size)
    data = data.map_batches(
        job.actor,
        batch_size=job.batch_size,
        batch_format="pyarrow",
        compute=actor_pool(resources),
        num_cpus=resources.cpus_per_worker,
        num_gpus=resources.gpus_per_worker,
        fn_constructor_kwargs=dict(job.arguments),
    )
    data.context.execution_options.resource_limits = ray.data.ExecutionResources.for_limits(
        object_store_memory=IN_FLIGHT_BYTES
    )
    data.write_parquet(str(output))


def actor_pool(resources: ResourcesConfig) -> ray.data.ActorPoolStrategy:
    """A pool that starts as large as it may, with one CPU left for reading and writing."""
    spare = ray.cluster_resources().get("CPU", 1.0) - 1
    start = max(1, min(resources.actors, int(spare / resources.cpus_per_worker)))
    return ray.data.ActorPoolStrategy(min_size=start, max_size=resources.actors)


def _in_order(folder: Path, schema: pa.Schema, wanted: Sequence[str]) -> Iterator[pa.Table]:
    rows = pds.dataset(folder, schema=schema, format="parquet")
    for at in range(0, len(wanted), ROWS_AT_ONCE):
        ids = wanted[at : at + ROWS_AT_ONCE]
        # A file holds neighbours: its statistics tell most scans that they need not open it.
        near = (pds.field("case_id") >= ids[0]) & (pds.field("case_id") <= ids[-1])
        found = rows.to_table(filter=near & pds.field("case_id").isin(ids)).sort_by("case_id")
        if found["case_id"].to_pylist() != ids:
            raise DataError(
                f"expected {len(ids)} cases once each, found {found.num_rows} rows of "
                f"{len(pc.unique(found['case_id']))} cases; run the stage again with --force"
            )
        yield found
