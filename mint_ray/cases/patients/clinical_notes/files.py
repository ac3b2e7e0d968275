"""Files of clinical notes: parquet, CSV, JSON lines, or a dataset that Hugging Face saved."""

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.common.parquet import class_names
from mint_ray.common.tables.files import (
    is_table_file,
    open_text,
    read_table_file,
    text_columns,
)
from mint_ray.errors import DataError

KINDS = ".parquet, .csv, .tsv, .jsonl, .ndjson, .json (the last five also .gz)"
"""Files of notes that can be read, for messages."""

_HEAD_CHARACTERS = 2**16
_OF_PACKETS = re.compile(r'"(?:phenotypic_?[fF]eatures|proband|meta_?[dD]ata)"')
_PEEKED = 8  # first lines that are read for their columns
_TEXT_ERRORS = (OSError, EOFError, zlib.error, UnicodeDecodeError)


@dataclass(frozen=True)
class NoteTable:
    """Rows of a file of notes.

    Attributes:
        columns: names of the columns, in the order of the file.
        rows: values by column; None for a row that cannot be read.
        skipped_lines: lines of text with another number of fields than the header.
    """

    columns: tuple[str, ...]
    rows: Sequence[dict[str, Any] | None]
    skipped_lines: int = 0


def read_note_table(path: Path) -> NoteTable:
    """Read the rows of a file, or of a folder that `datasets` wrote by `save_to_disk`.

    A folder of parquet files is one table; so are all splits of a saved dataset. Numbers of a
    Hugging Face class column become the names of the classes.

    Raises:
        DataError: the path is absent or is of another kind, or the file is damaged.
    """
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        raise DataError(
            f"{path}: expected a file of notes ({KINDS}), found nothing there; check the path"
        )
    kind = _ending(path)
    if kind in ("jsonl", "ndjson", "json"):
        return _of_json(path)
    if kind in ("parquet", "csv", "tsv") or is_table_file(path):
        table, skipped_lines = read_table_file(path, "notes", lower=False)
        return _of_arrow([table], path, skipped_lines)
    raise DataError(
        f"{path}: expected a file of notes ({KINDS}) or the folder of a saved dataset, found "
        f"another kind of file; convert it to one of these"
    )


def peek_columns(path: Path) -> tuple[str, ...]:
    """Return the columns of a table; none if it cannot be read.

    Of a table only the head is read, of JSON lines the first lines, other JSON whole. Phenopackets,
    which are JSON too, have none.
    """
    kind = _ending(path)
    try:
        if path.is_dir():
            saved = _saved_files(path)
            files = saved or sorted(path.glob("*.parquet"))
            return () if not files else tuple(_schema_of(files[0]).names)
        if kind == "parquet":
            return tuple(_schema_of(path).names)
        if kind in ("csv", "tsv"):
            return text_columns(path)
        if kind == "json":
            with open_text(path) as stream:
                is_of_packets = bool(_OF_PACKETS.search(stream.read(_HEAD_CHARACTERS)))
            return () if is_of_packets else _of_json(path).columns
        if kind not in ("jsonl", "ndjson"):
            return ()
        with open_text(path) as stream:
            lines = filter(str.strip, islice(stream, _PEEKED))
            rows = [row for line in lines if isinstance(row := _json_or_none(line), dict)]
    except (*_TEXT_ERRORS, pa.ArrowException, DataError):
        return ()
    return tuple(dict.fromkeys(name for row in rows for name in row))


def _ending(path: Path) -> str:
    return path.name.lower().removesuffix(".gz").rpartition(".")[2]


def _schema_of(file: Path) -> pa.Schema:
    if file.suffix == ".parquet":
        return pq.read_schema(file)
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_stream(source).schema


def _of_folder(folder: Path) -> NoteTable:
    """Read a saved dataset, else the parquet files of a folder."""
    if saved := _saved_files(folder):
        return _of_arrow([_read_arrow(file) for file in saved], folder)
    if files := sorted(folder.glob("*.parquet")):
        return _of_arrow([read_table_file(file, "notes")[0] for file in files], folder)
    raise DataError(
        f"{folder}: expected a dataset that `save_to_disk` wrote (state.json beside .arrow files) "
        "or parquet files, found neither; name the folder of the dataset itself"
    )


def _saved_files(folder: Path) -> list[Path]:
    """Return the Arrow files of a saved dataset, those of all splits; none if it is none."""
    states = sorted([*folder.glob("state.json"), *folder.glob("*/state.json")])
    return [file for state in states for file in sorted(state.parent.glob("*.arrow"))]


def _read_arrow(file: Path) -> pa.Table:
    try:
        with pa.memory_map(str(file)) as source:
            return pa.ipc.open_stream(source).read_all()
    except (OSError, pa.ArrowException) as error:
        raise _damaged(file, "an Arrow file of a saved dataset", error) from error


def _of_json(file: Path) -> NoteTable:
    """Read objects, one a line or all in one list; what is no object is a row of None.

    One object can hold the list, as a field, or be columns of values by row, as pandas writes.
    """
    try:
        with open_text(file) as stream:
            text = stream.read()
    except _TEXT_ERRORS as error:
        raise _damaged(file, "JSON lines of notes in UTF-8", error) from error
    whole = _json_or_none(text)
    if whole is None and text.lstrip().startswith("["):
        raise DataError(
            f"{file}: expected a list of notes as JSON, found one that is damaged or cut short; "
            "write or copy it again"
        )
    values: Iterable[Any] = whole if isinstance(whole, list) else _rows_of_object(whole)
    if whole is None:
        values = (_json_or_none(line) for line in text.split("\n") if line.strip())
    rows = [value if isinstance(value, dict) else None for value in values]
    columns = dict.fromkeys(name for row in rows if row is not None for name in row)
    return NoteTable(tuple(columns), rows)


def _rows_of_object(whole: Any) -> list[Any]:
    """Return the rows that one JSON object holds or is."""
    if not isinstance(whole, dict):
        return [whole]
    lists = [v for v in whole.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    if len(lists) == 1:
        return list(lists[0])
    if whole and all(isinstance(value, dict) for value in whole.values()):
        numbers = dict.fromkeys(number for value in whole.values() for number in value)
        return [{name: value.get(n) for name, value in whole.items()} for n in numbers]
    return [whole]


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _of_arrow(tables: Sequence[pa.Table], path: Path, skipped_lines: int = 0) -> NoteTable:
    """Return the rows of tables.

    Raises:
        DataError: a named column is there twice.
    """
    for table in tables:
        counted = Counter(filter(None, table.column_names))
        if repeated := sorted(name for name, number in counted.items() if number > 1):
            raise DataError(
                f"{path}: expected each column once, found {', '.join(repeated)} more than once; "
                "rename or drop the others"
            )
    columns = dict.fromkeys(name for table in tables for name in table.column_names)
    rows = [row for table in tables for row in _rows_of(table)]
    return NoteTable(tuple(columns), rows, skipped_lines)


def _rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    classes = class_names(table.schema)
    for batch in table.to_batches():
        for row in batch.to_pylist():
            for column, names in classes.items():
                number = row[column]
                known = isinstance(number, int) and 0 <= number < len(names)
                row[column] = names[number] if known else None
            yield row


def _damaged(file: Path, expected: str, error: Exception) -> DataError:
    return DataError(
        f"{file}: expected {expected}, found a file that cannot be read as one "
        f"({type(error).__name__}); write or copy it again"
    )
