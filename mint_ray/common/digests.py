"""SHA-256 digests of values, files and folders."""

import hashlib
from functools import lru_cache
from pathlib import Path


def digest_of(*parts: str | bytes) -> str:
    """Return the hex digest of the joined parts; strings are encoded as UTF-8."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()


def sha256(*files: Path) -> str:
    """Return the hex digest of the joined contents of the files."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()


def folder_revision(folder: Path) -> str:
    """Return sixteen hex digits over the names and contents of all files below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest_of(*(f"{file.relative_to(folder)}:{_digest_once(file)}\n" for file in files))[:16]


def _digest_once(file: Path) -> str:
    status = file.stat()
    return _digest_unless_changed(file, status.st_size, status.st_mtime_ns)


# Size and time of change are part of the cache's key: a changed file is read again.
@lru_cache(maxsize=256)
def _digest_unless_changed(file: Path, size: int, changed: int) -> str:
    return sha256(file)
