"""SHA-256 of files, folders and values: names that content gives itself."""

import hashlib
from functools import lru_cache
from pathlib import Path


def digest_of(*parts: str | bytes) -> str:
    """Return the hex digest of the parts, strings as UTF-8, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()


def sha256(*files: Path) -> str:
    """Return the hex digest of the files' content, one after the other."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()


def folder_revision(folder: Path) -> str:
    """Sixteen hex digits over the names and contents of a folder's files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest_of(*(f"{file.relative_to(folder)}:{_digest_once(file)}\n" for file in files))[:16]


def _digest_once(file: Path) -> str:
    about = file.stat()
    return _digest_unless_changed(file, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest_unless_changed(file: Path, size: int, changed: int) -> str:
    return sha256(file)
