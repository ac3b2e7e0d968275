"""Preference pairs to parquet, a row group at a time: memory does not grow with their number."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.cases.schema import SPLITS
from mint_ray.common.parquet import IMAGE_ROWS, TEXT_ROWS, TableFile
from mint_ray.errors import DataError
from mint_ray.preferences.schema import IMAGES, preference_schema
from mint_ray.tasks.task import Task

_READ_BYTES = 2**20


class PairFiles:
    """`train.parquet`, `validation.parquet` and `test.parquet` of a folder, written together.

    Attributes:
        rows: pairs so far, by split.
    """

    def __init__(self, folder: Path, task: Task) -> None:
        schema = preference_schema(task)
        size = IMAGE_ROWS if task.input_modality == "image" else TEXT_ROWS
        self._files = {name: TableFile(folder / f"{name}.parquet", schema, size) for name in SPLITS}
        self._open = ExitStack()
        self.rows: Counter[str] = Counter(dict.fromkeys(SPLITS, 0))

    def __enter__(self) -> Self:
        for file in self._files.values():
            self._open.enter_context(file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def add(self, pairs: pa.Table) -> None:
        """Append pairs of any splits, in their order."""
        for split, file in self._files.items():
            part = pairs.filter(pc.equal(pairs["split"], split))
            file.add(part)
            self.rows[split] += part.num_rows


def pairs_of(scored: pa.Table) -> pa.Table:
    """All pairs of scored rows, without images."""
    return pa.Table.from_struct_array(pc.list_flatten(scored["pairs"].combine_chunks()))


def pairs_with_images(scored: pa.Table, cases: Iterator[tuple[str, bytes | None]]) -> pa.Table:
    """All pairs of scored rows, with the image of their case.

    Args:
        scored: rows of `scored_schema`.
        cases: `images_in_order` of the case table; as many are taken as there are scored rows.

    Raises:
        DataError: the cases are others than the scored ones, or in another order.
    """
    found = list(islice(cases, scored.num_rows))
    if [case_id for case_id, _ in found] != scored["case_id"].to_pylist():
        raise DataError(
            "cases.parquet: expected the scored cases in the order of their ids, found others; "
            "build the cases again with --force"
        )
    parents = pc.list_parent_indices(scored["pairs"].combine_chunks()).to_pylist()
    images = [[{"bytes": found[place][1], "path": None}] for place in parents]
    return pairs_of(scored).append_column("images", pa.array(images, IMAGES))


def images_in_order(cases: Path) -> Iterator[tuple[str, bytes | None]]:
    """Id and encoded image of every case of a case table, in its order, a few at a time."""
    # Read ahead, Arrow would keep every row group that it has read.
    with pq.ParquetFile(cases, pre_buffer=False, buffer_size=_READ_BYTES) as file:
        for batch in file.iter_batches(IMAGE_ROWS, columns=["case_id", "image"]):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
