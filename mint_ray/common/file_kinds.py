"""Kinds of files, recognised by their content, so that a message can say what a file is."""

import re
from pathlib import Path
from typing import Literal

FileKind = Literal[
    "absent",
    "folder",
    "empty",
    "json",
    "yaml",
    "csv",
    "tsv",
    "xml",
    "html",
    "text",
    "parquet",
    "zip",
    "excel",
    "gzip",
    "bzip2",
    "xz",
    "tar",
    "pdf",
    "image",
    "hdf5",
    "sqlite",
    "arrow",
    "binary",
]

_WORDS: dict[FileKind, str] = {
    "absent": "nothing there",
    "folder": "a folder",
    "empty": "an empty file (0 bytes)",
    "json": "JSON",
    "yaml": "YAML",
    "csv": "a CSV table",
    "tsv": "a tab-separated table",
    "xml": "XML",
    "html": "HTML",
    "text": "text",
    "parquet": "a parquet table",
    "zip": "a ZIP archive",
    "excel": "an Excel workbook",
    "gzip": "a gzip file",
    "bzip2": "a bzip2 file",
    "xz": "an xz file",
    "tar": "a tar archive",
    "pdf": "a PDF",
    "image": "an image",
    "hdf5": "an HDF5 file",
    "sqlite": "an SQLite database",
    "arrow": "an Arrow file",
    "binary": "binary data of an unknown kind",
}

HEAD_BYTES = 4096
"""Bytes from the start of a file that are enough to recognise it."""

_MAGIC: tuple[tuple[bytes, FileKind], ...] = (
    (b"PAR1", "parquet"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\xd0\xcf\x11\xe0", "excel"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"%PDF", "pdf"),
    (b"\x89PNG", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF8", "image"),
    (b"II*\x00", "image"),
    (b"MM\x00*", "image"),
    (b"\x89HDF", "hdf5"),
    (b"SQLite format 3", "sqlite"),
    (b"ARROW1", "arrow"),
)
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_CELL = r"\s*\"?[\w-]+(?: [\w-]+)?\"?\s*"  # a name of one or two words
_CSV_HEADER = re.compile(rf"{_CELL}(?:[,;|]{_CELL})+")
_YAML_LINE = re.compile(r"(?:---|%YAML)(?:\s|$)|(?:- +)?[\w\"'$.-]+\s*:(?:\s|$)")


def kind_of_file(path: Path) -> FileKind:
    """Return the kind of what lies at a path; `binary` if it cannot be read."""
    if path.is_dir():
        return "folder"
    if not path.exists():
        return "absent"
    try:
        with path.open("rb") as file:
            return kind_of_content(file.read(HEAD_BYTES), path.name)
    except OSError:
        return "binary"


def kind_of_content(head: bytes, name: str = "") -> FileKind:
    """Return the kind of a file by its first `HEAD_BYTES` bytes.

    Args:
        head: the first bytes.
        name: the file's name, whose ending tells tables and YAML from other text.
    """
    if not head:
        return "empty"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            excel = kind == "zip" and (b"xl/" in head or name.lower().endswith(".xlsx"))
            return "excel" if excel else kind
    if head[257:262] == b"ustar":
        return "tar"
    text = _text_of(head)
    return "binary" if text is None else _kind_of_text(text, name.lower())


def words_for(kind: FileKind) -> str:
    """Return a kind as it reads after "found"."""
    return _WORDS[kind]


def _text_of(head: bytes) -> str | None:
    if head.startswith(_UTF_16):
        return head.decode("utf-16", errors="ignore")
    if b"\x00" in head:
        return None
    try:
        return head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start >= len(head) - 4:  # a character that the end of the head cuts
            return head[: error.start].decode("utf-8-sig")
    controls = sum(byte < 9 or 13 < byte < 32 for byte in head)
    return head.decode("latin-1") if not controls else None


def _kind_of_text(text: str, name: str) -> FileKind:
    stripped = text.lstrip()
    if not stripped:
        return "empty"
    if stripped[0] in "{[":
        return "json"
    if stripped[0] == "<":
        return "html" if re.match(r"<(?:!doctype html|html)", stripped, re.IGNORECASE) else "xml"
    if name.endswith((".yaml", ".yml")):
        return "yaml"
    lines = [line for line in stripped.splitlines() if line.strip() and line[0] != "#"]
    first = lines[0] if lines else ""
    if name.endswith(".tsv") or "\t" in first:
        return "tsv"
    if _YAML_LINE.match(first) and not name.endswith(".csv"):
        return "yaml"
    if name.endswith(".csv") or _CSV_HEADER.fullmatch(first):
        return "csv"
    return "text"
