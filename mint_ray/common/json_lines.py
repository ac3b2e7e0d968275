"""Files with one JSON object per line, whose last line may be torn by a killed writer."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO


def append_line(stream: BinaryIO, row: Mapping[str, Any]) -> None:
    """Append a row to a file that is open as "ab+", after ending a torn last line."""
    if stream.seek(0, os.SEEK_END):
        stream.seek(-1, os.SEEK_END)
        if stream.read() != b"\n":
            stream.write(b"\n")
    stream.write(line_of(row))


def line_of(row: Mapping[str, Any]) -> bytes:
    """Return a row as one line of JSON, newline included."""
    return json.dumps(dict(row)).encode() + b"\n"


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Return the object on a line; None if the line is torn."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def parse_lines(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return the objects of the lines, without torn lines."""
    return [row for row in map(parse_line, lines) if row is not None]


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Return the objects of all lines that are ended and not torn; empty if there is no file."""
    return parse_lines(file.read_bytes().split(b"\n")[:-1]) if file.exists() else []
