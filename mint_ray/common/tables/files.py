"""Table files: parquet, CSV and tab-separated text, the latter also as .gz."""

import csv
import gzip
import io
import re
import zlib
from pathlib import Path
from typing import TextIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.common.file_kinds import (
    HEAD_BYTES,
    FileKind,
    kind_of_content,
    kind_of_file,
    words_for,
)
from mint_ray.errors import DataError

TABLE_ENDINGS = (".parquet", ".csv", ".tsv", ".csv.gz", ".tsv.gz", ".txt.gz")
_DELIMITERS = "\t,;|"
_NAMED_DELIMITER = re.compile(r"\"?sep=([\t,;|])\"?\s*", re.IGNORECASE)
_HEADER_CHARACTERS = 2**16
_MAX_TEXT_BYTES = 2**31 - 1  # of a table of text, unpacked: Arrow's longest column of text


def is_table_file(path: Path) -> bool:
    """Return whether a path is read as a table, by its name or its content."""
    if path.name.lower().endswith(TABLE_ENDINGS):
        return True
    return kind_of_file(path) in ("parquet", "csv", "tsv")


def open_text(path: Path, errors: str = "strict") -> TextIO:
    """Open a text, packed by gzip or not, in UTF-8 or as its byte order mark says.

    Lines end with line feeds alone; other ends are characters.

    Args:
        path: of the file.
        errors: what to do with bytes of another encoding, as for `open`.
    """
    opener = gzip.open if kind_of_file(path) == "gzip" else open
    with opener(path, "rb") as file:
        encoding = _encoding(file.read(2))
    return cast(TextIO, opener(path, "rt", encoding=encoding, errors=errors, newline="\n"))


def text_columns(path: Path) -> tuple[str, ...]:
    """Return the names in the header of a table of text as they stand; none if it has none."""
    try:
        with open_text(path, errors="ignore") as file:
            head = file.read(_HEADER_CHARACTERS)
    except (OSError, EOFError, zlib.error):
        return ()
    delimiter, text = _delimiter(_with_line_feeds(head).lstrip("\n"))
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        return tuple(name.strip() for name in next(reader, []))
    except csv.Error:
        return ()


def read_table_file(path: Path, rows: str = "cases", lower: bool = True) -> tuple[pa.Table, int]:
    """Read a table, all columns of a table of text as text.

    Args:
        path: of the file.
        rows: content of the rows in the plural, for errors.
        lower: write the names of a text's columns in small letters.

    Returns:
        The table, and the number of lines that were left out because they have another number of
        fields than the header.

    Raises:
        DataError: the file is absent, damaged, or of another kind.
    """
    kind = kind_of_file(path)
    if kind in ("parquet", "folder"):
        return _read_parquet(path, kind, rows), 0
    content: bytes | None = None
    if kind == "gzip":
        content = _unpack(path, rows)
        kind = kind_of_content(content[:HEAD_BYTES], path.name.lower().removesuffix(".gz"))
    is_text = kind in ("csv", "tsv") or (kind in ("text", "yaml") and _is_named_text(path))
    if not is_text or path.name.lower().endswith(".parquet"):
        raise _other_kind(path, kind, rows)
    content = content if content is not None else path.read_bytes()
    return _read_text(path, content, rows, lower)


def _read_parquet(path: Path, kind: FileKind, rows: str) -> pa.Table:
    try:
        # Of a single file, a column that is there twice is read, and named by whoever asks for it.
        return pq.read_table(path) if kind == "folder" else pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException, ValueError) as error:
        found = "a damaged one, such as a copy that was cut short"
        if kind == "folder":
            found = "a folder that is not one"
        raise DataError(
            f"{path}: expected a parquet table of {rows}, found {found} ({type(error).__name__}); "
            "check the path, or copy it again"
        ) from error


def _other_kind(path: Path, kind: FileKind, rows: str) -> DataError:
    advice = "convert it"
    if kind in ("absent", "empty"):
        advice = "check the path"
    elif rows == "cases" and kind in ("json", "yaml", "zip"):
        advice = "phenopackets are read with cases.source=phenopackets"
    elif kind in ("csv", "tsv"):
        advice = f"name it .{kind}"
    return DataError(
        f"{path}: expected a parquet table of {rows}, or one as CSV or tab-separated text, found "
        f"{words_for(kind)}; {advice}"
    )


def _is_named_text(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv", ".txt"))


def _unpack(path: Path, rows: str) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(_MAX_TEXT_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: expected a gzip file with a table of {rows}, found a damaged one "
            f"({type(error).__name__}); copy it again"
        ) from error


def _read_text(path: Path, content: bytes, rows: str, lower: bool) -> tuple[pa.Table, int]:
    """Read a table whose header names the columns; blank lines do not count.

    A line above the header may name the delimiter, as Excel writes it (`sep=;`). An empty field is
    null; empty ones beyond the last column do not count.
    """
    delimiter, text = _delimiter(_decoded(path, content).lstrip("\n"))
    limit = csv.field_size_limit(_MAX_TEXT_BYTES)
    try:
        # Strict: an open quotation mark would swallow the lines after it.
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header, *lines = (row for row in reader if any(cell.strip() for cell in row))
    except csv.Error as error:
        raise DataError(
            f"{path}: expected a table of text with a header and {rows} below, found line "
            f"{reader.line_num} that cannot be divided into fields ({error}); check its quotation "
            "marks"
        ) from error
    finally:
        csv.field_size_limit(limit)
    fitted = (row if any(row[len(header) :]) else row[: len(header)] for row in lines)
    whole = [row for row in fitted if len(row) == len(header)]
    columns = zip(*whole, strict=True) if whole else ([] for _ in header)
    arrays = [pa.array([cell or None for cell in column], pa.string()) for column in columns]
    names = [name.strip().lower() if lower else name.strip() for name in header]
    return pa.table(arrays, names=names), len(lines) - len(whole)


def _delimiter(text: str) -> tuple[str, str]:
    """Return the mark between the fields of a table, and its text from the header on."""
    first_line, _, rest = text.partition("\n")
    if named := _NAMED_DELIMITER.fullmatch(first_line):
        return named[1], rest
    return max(_DELIMITERS, key=first_line.count), text


def _encoding(content: bytes) -> str:
    return "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"


def _decoded(path: Path, content: bytes) -> str:
    try:
        text = content.decode(_encoding(content))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected a table in UTF-8, found bytes of another encoding at position "
            f"{error.start}; save it as UTF-8"
        ) from error
    return _with_line_feeds(text)


def _with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
