"""Rows of a small table as text, whichever usual form its file has."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mint_ray.common.tables.files import read_table_file
from mint_ray.errors import DataError

JSON_LINES = (".jsonl", ".ndjson")


class TextRows(NamedTuple):
    """Rows of a table.

    Attributes:
        rows: text by the name of the column, "" where there is none.
        bad: number of lines that are no row.
    """

    rows: list[dict[str, str]]
    bad: int


LISTED = ("synonyms", "alias_symbol", "prev_symbol")
"""Columns that may hold lists of names."""


def read_rows(path: Path, content: str, required: Collection[str] = ()) -> TextRows:
    """Read a parquet table, a table of text, or JSON lines; every value becomes text.

    Lists and objects count as no value; only a list of `LISTED` becomes a text, with | between its
    values. White space at the ends of a value is removed.

    Args:
        path: of the file.
        content: of the rows in the plural, for errors.
        required: columns that the table must have. A line of JSON may lack them.

    Raises:
        DataError: the file cannot be read as a table, or lacks a column.
    """
    if path.suffix.lower() in JSON_LINES:
        objects = list(_objects(path, content))
        rows = [
            {name: _cell(name, value) for name, value in row.items()}
            for row in objects
            if row is not None
        ]
        return TextRows(rows, sum(row is None for row in objects))
    table, bad = read_table_file(path, content)
    names = table.column_names
    if missing := [name for name in required if name not in names]:
        raise DataError(
            f"{path}: expected a table of {content} with the columns {', '.join(required)}, found "
            f"{', '.join(names) or 'no columns'}; rename the columns, or add {', '.join(missing)}"
        )
    columns = [
        [_cell(name, value) for value in table[place].to_pylist()]
        for place, name in enumerate(names)
    ]
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return TextRows(rows, bad)


def _objects(path: Path, content: str) -> Iterator[dict[str, Any] | None]:
    """Yield the objects of the lines; None for a line that holds none."""
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for line in filter(str.strip, stream):
                yield _object(line)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: expected JSON lines with {content}, found a file that cannot be read as "
            f"such ({type(error).__name__}); check the path and the encoding, which is UTF-8"
        ) from error


def _object(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _cell(name: str, value: Any) -> str:
    if name in LISTED and isinstance(value, list):
        return "|".join(filter(None, map(_text, value)))
    return _text(value)


def _text(value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        return ""
    # JSON may hold halves of characters, which no file can.
    return str(value).encode("utf-8", "replace").decode("utf-8").strip()
