"""Forward reading of single rows of a parquet file, without loading whole row groups."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.common.parquet import group_starts
from mint_ray.errors import DataError

_ROWS = 8  # decoded together
_BUFFER = 1 << 20  # bytes read together; without one, a whole column chunk is


class RowCursor:
    """A reader of single rows, which reads a file in one pass if row numbers ascend.

    A row before the last one, or in another row group, starts a new pass at its row group. Memory
    holds only a few rows. Inference reads in another way: its batches lie side by side, so it keeps
    a whole row group and takes rows from it in any order.
    """

    def __init__(self, file: Path, columns: list[str]) -> None:
        self._path, self._columns = file, columns
        self._file = pq.ParquetFile(file, buffer_size=_BUFFER)
        self._starts = group_starts(self._file)
        self._group = -1
        self._rows: Iterator[dict[str, Any]] = iter(())
        self._next = 0
        self._last: dict[str, Any] = {}

    def row(self, number: int) -> dict[str, Any]:
        """Return one row, as values by column.

        Raises:
            DataError: the file is damaged at this row.
        """
        group = next(g for g, end in enumerate(self._starts[1:]) if number < end)
        if group != self._group or number < self._next - 1:
            self._group, self._next = group, self._starts[group]
            self._rows = self._pass(group)
        try:
            while self._next <= number:
                self._last = next(self._rows)
                self._next += 1
        except (OSError, pa.ArrowException, StopIteration) as error:
            raise DataError(
                f"{self._path}: row {number} cannot be read ({type(error).__name__}): copy the "
                "file again"
            ) from error
        return self._last

    def _pass(self, group: int) -> Iterator[dict[str, Any]]:
        batches = self._file.iter_batches(_ROWS, row_groups=[group], columns=self._columns)
        for batch in batches:
            yield from batch.to_pylist()
