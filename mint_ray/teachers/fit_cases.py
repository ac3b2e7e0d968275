"""Cases that teachers are fitted to: those that were read or simulated, not made from others."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.cases.schema import MADE_SOURCES
from mint_ray.teachers.cross_fit import write_fold_cases


@contextmanager
def fit_folder(
    cases: Path, scratch: Path, left_out: frozenset[str] = frozenset()
) -> Iterator[Path]:
    """Give the folder whose cases a teacher is fitted to.

    It is the folder of the stage `cases`. Where some cases were made from others, or groups are
    left out, it is a copy without them, and without the test cases, which no teacher reads.

    Args:
        cases: folder of the stage `cases`.
        scratch: folder to write the copy to; removed at the end.
        left_out: ids of groups that the teacher shall not read.
    """
    sources = pq.read_table(cases / "cases.parquet", columns=["source"])["source"]
    if not left_out and not set(pc.unique(sources).to_pylist()) & set(MADE_SOURCES):
        yield cases
        return
    write_fold_cases(cases, left_out, scratch)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
