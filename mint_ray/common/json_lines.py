"""Files of one JSON object a line, whose last line a killed writer may have torn."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO


def append_line(stream: BinaryIO, row: Mapping[str, Any]) -> None:
    """Add a line to a file that is open as "ab+"; half a line before it is ended first."""
    if stream.seek(0, os.SEEK_END):
        stream.seek(-1, os.SEEK_END)
        if stream.read() != b"\n":
            stream.write(b"\n")
    stream.write(line_of(row))


def line_of(row: Mapping[str, Any]) -> bytes:
    """Return a row as a line, with its end."""
    return json.dumps(dict(row)).encode() + b"\n"


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Return the row of a line, None of a torn one."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def parse_lines(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return the rows of lines, without those of torn ones."""
    return [row for row in map(parse_line, lines) if row is not None]


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Return the rows of all ended lines that are whole; none where there is no file."""
    return parse_lines(file.read_bytes().split(b"\n")[:-1]) if file.exists() else []
