"""Pieces of a bundle: a folder as an archive cut into files that travel one by one, and back.

    python pieces.py PIECES FOLDER

joins them again. Nothing beyond Python itself is needed, so that this file travels with them.
"""

import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MANIFEST = "pieces.json"
_BLOCK = 1 << 20


def split(folder: Path, pieces: Path, size: int) -> list[dict[str, Any]]:
    """Write a folder as pieces and `pieces.json`, which comes last; return what it lists.

    Args:
        folder: files to pack.
        pieces: folder that gets the pieces; those of a former call are removed.
        size: largest number of bytes of a piece.
    """
    pieces.mkdir(parents=True, exist_ok=True)
    for old in (pieces / MANIFEST, *pieces.glob("piece-*")):
        old.unlink(missing_ok=True)
    cutter = _Cutter(pieces, size)
    with tarfile.open(fileobj=cutter, mode="w|", bufsize=_BLOCK) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.add(file, str(file.relative_to(folder)))
    cutter.close()
    listed = [
        {"name": file.name, "bytes": file.stat().st_size, "sha256": sha256(file)}
        for file in sorted(pieces.glob("piece-*"))
    ]
    (pieces / MANIFEST).write_text(json.dumps({"pieces": listed}, indent=1) + "\n", "utf-8")
    return listed


def join(pieces: Path, folder: Path) -> None:
    """Check all pieces and unpack them as `folder`, which appears whole or not at all.

    Raises:
        SystemExit: pieces are missing or damaged; the message names them.
    """
    listed = json.loads((pieces / MANIFEST).read_text("utf-8"))["pieces"]
    wrong = [item["name"] for item in listed if not _is_good(pieces / item["name"], item)]
    if wrong:
        raise SystemExit(
            f"{pieces}: expected {len(listed)} pieces as {MANIFEST} lists them, found these missing"
            f" or damaged: {', '.join(wrong)}; bring them again"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=".joining-", dir=folder.parent))
    try:
        stream = io.BufferedReader(_Chain([pieces / item["name"] for item in listed]), _BLOCK)
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCK) as archive:
            archive.extractall(working, filter="data")
        os.rename(working, folder)
    finally:
        shutil.rmtree(working, ignore_errors=True)


def sha256(file: Path) -> str:
    """Return the hex digest of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _is_good(file: Path, item: dict[str, Any]) -> bool:
    return file.is_file() and sha256(file) == item["sha256"]


class _Cutter(io.RawIOBase):
    """A stream for writing that goes on in a new file where one is full."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size, self._number = folder, size, 0
        self._file = self._open()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        view = memoryview(content)
        while len(view):
            room = self._size - self._file.tell()
            if not room:
                self._file.close()
                self._file, room = self._open(), self._size
            self._file.write(view[:room])
            view = view[room:]
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _open(self) -> io.BufferedWriter:
        self._number += 1
        return (self._folder / f"piece-{self._number:03d}").open("wb")


class _Chain(io.RawIOBase):
    """A stream for reading of several files, one after another."""

    def __init__(self, files: list[Path]) -> None:
        self._blocks = _blocks(files)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._blocks, b"")
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)


def _blocks(files: list[Path]) -> Iterator[bytes]:
    for file in files:
        with file.open("rb") as content:
            while block := content.read(_BLOCK):
                yield block


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    join(Path(sys.argv[1]), Path(sys.argv[2]))
