"""Students joined with a look-up that knows the annotations of their diseases."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.cases.schema import CASE_SCHEMA
from mint_ray.config.config import Config
from mint_ray.evaluation.fused.pool import OpinionPool, write_pool
from mint_ray.teachers.note_look_ups import FOLDER, fit_look_up

POOL = OpinionPool(("knowledge",), (0.5, 0.5), (-8.0, -8.0), 1.0, cases=10, informed=10)
"""Pool of student and look-up, which weigh the same."""


def join_look_ups(student: Path, pool: OpinionPool = POOL) -> None:
    """Add a look-up and a pool to a student's folder, which has `catalogue.parquet`."""
    cases = student / "cases"
    cases.mkdir()
    pq.write_table(pa.Table.from_pylist([], CASE_SCHEMA), cases / "cases.parquet")
    (cases / "excluded_publications.txt").write_text("")
    shutil.copyfile(student / "catalogue.parquet", cases / "catalogue.parquet")
    fit_look_up("knowledge", Config(), cases, student / FOLDER)
    shutil.rmtree(cases)
    write_pool(student, pool)
