"""Files of clinical notes: parquet, CSV, JSON lines, or a dataset that Hugging Face saved."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from mint_ray.common.parquet import class_names
from mint_ray.errors import DataError

KINDS = ".parquet, .csv, .tsv, .jsonl, .ndjson, .json (the last five also .gz)"
"""Files of notes that can be read, for messages."""

_TEXT_ERRORS = (OSError, EOFError, zlib.error, UnicodeDecodeError)


@dataclass(frozen=True)
class NoteTable:
    """Rows of a file of notes.

    Attributes:
        columns: names of the columns, in the order of the file.
        rows: values by column; None for a row that cannot be read.
    """

    columns: tuple[str, ...]
    rows: Sequence[dict[str, Any] | None]


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
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        return _of_arrow([_read_parquet(path)])
    if kind in ("csv", "tsv"):
        return _of_arrow([_read_csv(path, kind)])
    if kind in ("jsonl", "ndjson", "json"):
        return _of_json(path)
    raise DataError(
        f"{path}: expected a file of notes ({KINDS}) or the folder of a saved dataset, found "
        f"another kind of file; convert it to one of these"
    )


def peek_columns(path: Path) -> tuple[str, ...]:
    """Return the columns of a table without reading it whole; none if it cannot be read.

    JSON counts only as JSON lines, since a `.json` file may be anything; its first line has the
    columns.
    """
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    try:
        if path.is_dir():
            saved = _saved_files(path)
            files = saved or sorted(path.glob("*.parquet"))
            return () if not files else tuple(_schema_of(files[0]).names)
        if kind == "parquet":
            return tuple(_schema_of(path).names)
        if kind not in ("csv", "tsv", "jsonl", "ndjson"):
            return ()
        with _open_text(path) as stream:
            head = stream.readline()
    except (*_TEXT_ERRORS, pa.ArrowException):
        return ()
    if kind in ("csv", "tsv"):
        return tuple(_split_header(head, _delimiter(head, kind)))
    first = _json_or_none(head)
    return tuple(first) if isinstance(first, dict) else ()


def _schema_of(file: Path) -> pa.Schema:
    if file.suffix == ".parquet":
        return pq.read_schema(file)
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_stream(source).schema


def _of_folder(folder: Path) -> NoteTable:
    """Read a saved dataset, else the parquet files of a folder."""
    if saved := _saved_files(folder):
        return _of_arrow([_read_arrow(file) for file in saved])
    if files := sorted(folder.glob("*.parquet")):
        return _of_arrow([_read_parquet(file) for file in files])
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


def _read_parquet(file: Path) -> pa.Table:
    try:
        return pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(file, "a parquet table of notes", error) from error


def _read_csv(file: Path, kind: str) -> pa.Table:
    """Read a CSV file with every column as text, so that ids keep their zeros."""
    try:
        with _open_text(file) as stream:
            head = stream.readline()
        delimiter = _delimiter(head, kind)
        names = _split_header(head, delimiter)
        return pa_csv.read_csv(
            file,
            parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except (*_TEXT_ERRORS, csv.Error, pa.ArrowException) as error:
        raise _damaged(file, "a CSV table of notes in UTF-8 with a line of names", error) from error


def _delimiter(head: str, kind: str) -> str:
    return "\t" if kind == "tsv" else max(",;\t", key=head.count)


def _split_header(head: str, delimiter: str) -> list[str]:
    return next(csv.reader([head], delimiter=delimiter), [])


def _of_json(file: Path) -> NoteTable:
    """Read objects, one a line or all in one list; what is no object is a row of None."""
    try:
        with _open_text(file) as stream:
            text = stream.read()
    except _TEXT_ERRORS as error:
        raise _damaged(file, "JSON lines of notes in UTF-8", error) from error
    values: Iterable[Any]
    if text.lstrip().startswith("["):
        values = _json_or_none(text) or []
    else:
        values = (_json_or_none(line) for line in text.split("\n") if line.strip())
    rows = [value if isinstance(value, dict) else None for value in values]
    columns = dict.fromkeys(name for row in rows if row is not None for name in row)
    return NoteTable(tuple(columns), rows)


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _open_text(file: Path) -> Any:
    if file.name.lower().endswith(".gz"):
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="\n")
    return file.open(encoding="utf-8-sig", newline="\n")


def _of_arrow(tables: Sequence[pa.Table]) -> NoteTable:
    columns = dict.fromkeys(name for table in tables for name in table.column_names)
    rows = [row for table in tables for row in _rows_of(table)]
    return NoteTable(tuple(columns), rows)


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
