"""Files."""

import hashlib
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any


def folder_revision(folder: Path) -> str:
    """Sixteen hex digits over the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        about = file.stat()
        content = _digest_once(file, about.st_size, about.st_mtime_ns)
        digest.update(f"{file.relative_to(folder)}:{content}\n".encode())
    return digest.hexdigest()[:16]


def sha256(file: Path) -> str:
    """Hex digest of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache(maxsize=256)
def _digest_once(file: Path, size: int, changed: int) -> str:
    return sha256(file)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a file that appears whole or not at all."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    partial.replace(file)


def read_json(file: Path) -> dict[str, Any]:
    """What `write_json` wrote."""
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content
