"""A user's own documents, from a table with the columns `id`, `title` and `text`."""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.errors import DataError
from mint_ray.retrieval.documents import Document

_COLUMNS = ("id", "title", "text")
_MOST_CSV_FIELD = 2**27


@dataclass(frozen=True)
class OwnDocuments:
    """Documents of a table, and the rows that are none.

    Attributes:
        documents: in the order of the table.
        rejected: number of rows by reason: `no_id`, `no_text`, `duplicate_id`, `bad_row`.
    """

    documents: tuple[Document, ...]
    rejected: Counter[str]


def read_own_documents(path: Path) -> OwnDocuments:
    """Read a parquet, CSV or JSON-lines table.

    A row without a title has its id as the title. Of rows with one id, the first counts.

    Raises:
        DataError: the file cannot be read, lacks a column, or no row is a document.
    """
    try:
        rows = list(_rows(path))
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise DataError(
            f"{path}: expected a parquet, CSV or JSON-lines table with the columns id, title and "
            f"text, found a file that cannot be read as one ({type(error).__name__})"
        ) from error
    rejected: Counter[str] = Counter()
    documents: dict[str, Document] = {}
    for row in rows:
        reason = _why_unusable(row, documents)
        if row is None or reason:
            rejected[reason or "bad_row"] += 1
            continue
        key, title, text = (_text(row.get(column)) for column in _COLUMNS)
        documents[key] = Document(key, "own", title or key, text)
    if not documents:
        raise DataError(
            f"{path}: expected rows with id and text, found none ({dict(rejected)}); see to the "
            "columns id, title and text",
            rejected,
        )
    return OwnDocuments(tuple(documents.values()), rejected)


def _why_unusable(row: dict[str, Any] | None, known: dict[str, Document]) -> str | None:
    if row is None:
        return "bad_row"
    if not _text(row.get("id")):
        return "no_id"
    if not _text(row.get("text")):
        return "no_text"
    return "duplicate_id" if _text(row.get("id")) in known else None


def _rows(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield the rows; None for a line that is not an object of JSON."""
    kind = path.suffix.lower()
    if kind == ".parquet":
        table = pq.read_table(path)
        _check_columns(path, table.column_names)
        yield from table.to_pylist()
    elif kind == ".csv":
        csv.field_size_limit(_MOST_CSV_FIELD)
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            _check_columns(path, list(reader.fieldnames or ()))
            yield from reader
    elif kind in (".jsonl", ".ndjson"):
        with path.open(encoding="utf-8-sig") as stream:
            for line in filter(str.strip, stream):
                yield _object(line)
    else:
        raise DataError(
            f"{path}: expected a table .parquet, .csv or .jsonl, found {kind or 'no suffix'}; "
            "convert it to one of these"
        )


def _check_columns(path: Path, columns: list[str]) -> None:
    missing = [name for name in ("id", "text") if name not in columns]
    if missing:
        raise DataError(
            f"{path}: expected the columns id, title and text, found {', '.join(columns)}; rename "
            "the columns"
        )


def _object(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _text(value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        return ""
    # JSON may hold halves of characters, which no file can.
    return str(value).encode("utf-8", "replace").decode("utf-8").strip()
