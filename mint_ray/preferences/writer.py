"""Parquet files of preference pairs, written a row group at a time to bound memory."""

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
    """Writer of `train.parquet`, `validation.parquet` and `test.parquet` in a folder.

    A context manager: the files are complete when it is left without an error.

    Args:
        folder: of the files.
        task: sets their columns.

    Attributes:
        rows: number of pairs written so far, by split.
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
        """Append pairs to the files of their splits, in their order."""
        for split, file in self._files.items():
            part = pairs.filter(pc.equal(pairs["split"], split))
            file.add(part)
            self.rows[split] += part.num_rows


def pairs_of(scored: pa.Table) -> pa.Table:
    """Return all pairs of scored rows, without images."""
    return pa.Table.from_struct_array(pc.list_flatten(scored["pairs"].combine_chunks()))


def pairs_with_images(scored: pa.Table, cases: Iterator[tuple[str, bytes | None]]) -> pa.Table:
    """Return all pairs of scored rows, with the image of their case.

    Args:
        scored: rows of `scored_schema`.
        cases: `images_in_order` of the case table. As many cases are consumed as there are scored
            rows, so that the next call continues with the next cases.

    Raises:
        DataError: the cases are not the scored ones, or are in another order.
    """
    id_and_image = list(islice(cases, scored.num_rows))
    if [case_id for case_id, _ in id_and_image] != scored["case_id"].to_pylist():
        raise DataError(
            "cases.parquet: expected the scored cases in the order of their ids, found others; "
            "build the cases again with --force"
        )
    parents = pc.list_parent_indices(scored["pairs"].combine_chunks()).to_pylist()
    images = [[{"bytes": id_and_image[row][1], "path": None}] for row in parents]
    return pairs_of(scored).append_column("images", pa.array(images, IMAGES))


def images_in_order(cases: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield id and encoded image of every case of a case table, read a few at a time."""
    # With `pre_buffer`, Arrow would keep every row group that it has read in memory.
    with pq.ParquetFile(cases, pre_buffer=False, buffer_size=_READ_BYTES) as file:
        for batch in file.iter_batches(IMAGE_ROWS, columns=["case_id", "image"]):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
