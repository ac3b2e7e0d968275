"""Resumable batched inference over a case table with a Ray Data actor pool.

One output row per case, written in blocks of one batch. A run that was cut off leaves whole
files (kept) and at most one torn file per writer (removed); the next run reads only the cases
that no whole file holds. Ray's own Data checkpoint does the same with one more actor pool, which
on a machine of two CPUs waits for ever for the second.
"""

import logging
from collections.abc import Mapping
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
    """Run the job over the cases of `source`, or those named in `only`; resume in `output`.

    Returns:
        All rows, sorted by `case_id`, each wanted case once.

    Raises:
        DataError: a wanted case is missing or doubled in the output.
    """
    wanted = set(pq.read_table(source, columns=["case_id"])["case_id"].to_pylist())
    wanted = wanted if only is None else wanted & only
    output.mkdir(parents=True, exist_ok=True)
    missing = wanted - finished_cases(output, job.schema)
    if missing:
        _write_missing(job, source, output, resources, missing)
    return _collect(output, job.schema, wanted)


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


def _write_missing(
    job: CaseInference,
    source: Path,
    output: Path,
    resources: ResourcesConfig,
    missing: set[str],
) -> None:
    data = ray.data.read_parquet(str(source)).select_columns(list(job.columns))
    data = data.filter(expr=col("case_id").is_in(sorted(missing)))
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
    data.write_parquet(str(output))


def actor_pool(resources: ResourcesConfig) -> ray.data.ActorPoolStrategy:
    """A pool that starts as large as it may, with one CPU left for reading and writing."""
    spare = ray.cluster_resources().get("CPU", 1.0) - 1
    start = max(1, min(resources.actors, int(spare / resources.cpus_per_worker)))
    return ray.data.ActorPoolStrategy(min_size=start, max_size=resources.actors)


def _collect(folder: Path, schema: pa.Schema, wanted: set[str]) -> pa.Table:
    table = pds.dataset(folder, schema=schema, format="parquet").to_table().sort_by("case_id")
    table = table.filter(pc.is_in(table["case_id"], pa.array(sorted(wanted), pa.string())))
    distinct = len(pc.unique(table["case_id"]))
    if not table.num_rows == distinct == len(wanted):
        raise DataError(
            f"expected {len(wanted)} cases once each, found {table.num_rows} rows of {distinct} "
            "cases; run the stage again with --force"
        )
    return table
