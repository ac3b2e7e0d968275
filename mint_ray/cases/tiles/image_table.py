"""Tiles of parquet tables of images: one row per image, with its label and its group."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.cases.schema import RejectedCase
from mint_ray.cases.tiles.source import TileImage, TileRef
from mint_ray.cases.tiles.tissue_labels import tissue_label
from mint_ray.cases.tiles.whole_images import Opened, open_image, tile_image_of, tile_refs_of
from mint_ray.common.parquet import class_names
from mint_ray.common.row_cursor import RowCursor
from mint_ray.config.cases import ImagesConfig
from mint_ray.errors import DataError
from mint_ray.images.faults import MISSING, UNREADABLE

SOURCE = "images"
_ROWS = 32  # read at a time; each may hold an image of several megabytes


class ImageTable:
    """Rows of parquet tables; the ids are `<file's stem>-<row>`.

    A label that is a class number of `datasets` gets its name from the table's metadata. A row
    without a label, or with a number that has no name there, is rejected with `no_label`, a row
    without an image with `image_missing`. A row without a group is a group of its own. Tables are
    streamed, whatever the size of their row groups.

    Raises:
        DataError: a file is not a parquet table, or lacks a configured column.
    """

    name = SOURCE

    def __init__(self, files: Sequence[Path], config: ImagesConfig) -> None:
        self._files, self._config = {file.stem: file for file in files}, config
        configured = (
            config.label_column,
            config.group_column,
            config.image_column,
            config.mask_column,
        )
        for file in files:
            schema = read_schema(file)
            missing = sorted({column for column in configured if column} - set(schema.names))
            if missing:
                raise DataError(
                    f"{file}: expected a column {' and a column '.join(missing)}, found "
                    f"{', '.join(schema.names)}; set the table's column names in cases.images"
                )
        self._cursors: dict[str, RowCursor] = {}
        self.reading = ""

    def list_tiles(self) -> Iterator[TileRef | RejectedCase]:
        """Yield every row; of images that are to be cut, the headers are decoded."""
        config = self._config
        columns = [c for c in (config.label_column, config.group_column) if c]
        if config.tile is not None:
            columns.append(config.image_column)
        texts: set[str] = set()
        for stem, file in self._files.items():
            names = class_names(read_schema(file))
            for number, row in enumerate(iter_rows(file, columns)):
                case_id = f"{stem}-{number:06d}"
                text = text_of(row[config.label_column], names.get(config.label_column))
                label = tissue_label(config.label_names.get(text, text))
                if label is None:
                    yield RejectedCase(case_id, SOURCE, "no_label")
                    continue
                texts.add(text)
                column = config.group_column or ""
                group = text_of(row.get(column), names.get(column)) or case_id
                whole = TileRef(case_id, group, *label, file=stem, row=number)
                image = row.get(config.image_column)
                yield from tile_refs_of(whole, config.tile, partial(image_bytes, image), SOURCE)
        self.reading = _reading(texts - set(config.label_names), config.label_column)

    def read_tiles(self, refs: Sequence[TileRef]) -> Iterator[TileImage | str]:
        """Yield the images or their squares; consecutive squares share one decoding of the row."""
        current: tuple[str, int] | None = None
        opened = Opened(b"", UNREADABLE)
        for ref in refs:
            if (ref.file, ref.row) != current:
                current, row = (ref.file, ref.row), self._cursor(ref.file).row(ref.row)
                mask = row[self._config.mask_column] if self._config.mask_column else None
                opened = open_image(image_bytes(row[self._config.image_column]), mask)
            yield tile_image_of(ref, opened, self._config.tile)

    def _cursor(self, stem: str) -> RowCursor:
        if stem not in self._cursors:
            columns = [c for c in (self._config.image_column, self._config.mask_column) if c]
            self._cursors[stem] = RowCursor(self._files[stem], columns)
        return self._cursors[stem]


def image_bytes(value: object) -> bytes | str:
    """Return an image column's value as bytes, or `image_missing` or `image_unreadable`.

    Hugging Face's {bytes, path} is accepted too. Text, such as an address, is never followed.
    """
    if isinstance(value, dict):
        value = value.get("bytes")
    if value is None:
        return MISSING
    return value if isinstance(value, bytes) else UNREADABLE


def text_of(value: object, names: Sequence[str] | None = None) -> str:
    """Return a value of text or of a number as stripped text; "" for None and for not a number.

    Args:
        value: of a column.
        names: names of the column's numbers; "" is returned for a number without a name.
    """
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # numbers become real numbers where some are missing
    if names is None or not isinstance(value, int):
        return str(value).strip()
    return names[value].strip() if 0 <= value < len(names) else ""


def _reading(texts: set[str], column: str) -> str:
    if not texts or not all(map(str.isdecimal, texts)):
        return ""
    return (
        f"column {column}: the labels are numbers ({len(texts)}); name them with "
        "cases.images.label_names"
    )


def read_schema(file: Path) -> pa.Schema:
    """Read the schema of a parquet file.

    Raises:
        DataError: the file is absent or is not a parquet file.
    """
    try:
        return pq.read_schema(file)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{file}: expected a parquet table of images, found a file that cannot be read as one "
            f"({type(error).__name__}); check the path, or copy the file again"
        ) from error


def iter_rows(file: Path, columns: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, reading a few at a time.

    Raises:
        DataError: the table is damaged.
    """
    try:
        with pq.ParquetFile(file, buffer_size=1 << 20) as table:
            for batch in table.iter_batches(_ROWS, columns=columns):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{file}: cannot be read to its end ({type(error).__name__}): copy it again"
        ) from error
