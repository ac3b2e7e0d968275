"""Parquet files that are written row group by row group, and what their metadata says."""

import json
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.common.files import remove_partials, replacing

TEXT_ROWS, IMAGE_ROWS = 256, 64
"""Rows of a row group without and with images."""


# The pairs of one case repeat its image, and lie side by side: a dictionary as large as any row
# group of tiles keeps it once. Arrow's limit of 1 MiB would be reached after a few images.
_DICTIONARY_BYTES = 64 * 2**20


def group_starts(file: pq.ParquetFile) -> list[int]:
    """Return the number of each row group's first row, followed by the number of all rows."""
    groups = range(file.metadata.num_row_groups)
    return list(accumulate((file.metadata.row_group(g).num_rows for g in groups), initial=0))


class TableFile:
    """A parquet file that is written row group by row group and appears whole or not at all.

    Use it as a context manager. The rows go to a temporary file, which takes the name `path` once
    the body has ended well; if the body fails, nothing is left. A file without rows has the schema
    too.

    Args:
        path: the file.
        schema: schema of the rows.
        group_rows: rows per row group.
    """

    def __init__(self, path: Path, schema: pa.Schema, group_rows: int) -> None:
        self._path, self._schema, self._group_rows = path, schema, group_rows
        self._pending = schema.empty_table()

    def __enter__(self) -> Self:
        # Only one process writes this file, and nothing else would remove what a killed run left.
        remove_partials(self._path)
        with ExitStack() as opening:
            partial = opening.enter_context(replacing(self._path))
            self._writer = opening.enter_context(
                pq.ParquetWriter(partial, self._schema, dictionary_pagesize_limit=_DICTIONARY_BYTES)
            )
            self._open = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._open.__exit__(kind, error, trace)
            return
        with self._open:
            if self._pending.num_rows:
                self._writer.write_table(self._pending)

    def add(self, rows: pa.Table) -> None:
        """Append rows of the schema, and write every row group that is full."""
        pending = pa.concat_tables([self._pending, rows.cast(self._schema)])
        while pending.num_rows >= self._group_rows:
            self._writer.write_table(pending.slice(0, self._group_rows))
            pending = pending.slice(self._group_rows)
        self._pending = pending


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the names of the class numbers of each column that `datasets` calls a ClassLabel."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        labels = {c: f for c, f in features.items() if f.get("_type") == "ClassLabel"}
        return {column: list(map(str, feature["names"])) for column, feature in labels.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}  # written without `datasets`, or by a program that left the names out
