"""Files of phenopackets: one file, a folder of them, or a ZIP archive; also packed, and nested."""

import bz2
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from mint_ray.common.file_kinds import (
    HEAD_BYTES,
    FileKind,
    kind_of_content,
    kind_of_file,
    words_for,
)
from mint_ray.common.folders import HIDDEN, files_below, is_hidden
from mint_ray.errors import DataError

MAX_MEMBER_BYTES = 16 * 2**20
"""Most bytes of one file, unpacked; a larger one is turned away. A patient takes about 7 kB."""

MAX_NESTING = 2
"""Most archives around a file, and most packings around one."""

_ENDINGS = (".json", ".jsonl", ".ndjson", ".yaml", ".yml")
_TEXT_KINDS: tuple[FileKind, ...] = ("json", "yaml")
_PACKED_ENDINGS = (".gz", ".bz2", ".xz")
_TABLE_KINDS: tuple[FileKind, ...] = ("parquet", "csv", "tsv")

_OPENERS: dict[FileKind, Callable[[IO[bytes]], Any]] = {
    "gzip": gzip.open,
    "bzip2": bz2.open,
    "xz": lzma.open,
}

# Exceptions of reading damaged, encrypted or unknown archives and members.
_UNREADABLE = (
    OSError,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


def iter_members(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield the names and contents of the files at `path`, sorted by name.

    Every file of a folder, of its subfolders and of an archive is yielded, whatever it is, except
    hidden ones. Links to folders are followed, each folder once. A file that gzip, bzip2 or xz
    packed is unpacked, and so are ZIP archives within a folder or an archive, at most
    `MAX_NESTING` deep. Nothing is unpacked to disk. At most one byte more than `MAX_MEMBER_BYTES`
    is read of a member, which is enough to recognise a larger one. A member that cannot be read
    has the content None.

    Raises:
        DataError: the path is absent, is a file of another kind, is a ZIP archive that is cut
            short, or holds no file.
    """
    if path.is_dir():
        members = _of_folder(path)
    elif path.is_file():
        members = _of_file(path)
    else:
        raise DataError(
            f"{path}: expected a phenopacket file, folder or ZIP, found nothing there; check the "
            "path"
        )
    empty = True
    for member in members:
        empty = False
        yield member
    if empty:
        raise DataError(
            f"{path}: expected phenopackets (.json, .jsonl or .yaml files), found none; "
            "check the path"
        )


def _of_file(path: Path) -> Iterator[tuple[str, bytes | None]]:
    kind = kind_of_file(path)
    if kind == "zip" or (path.suffix.lower() == ".zip" and kind in ("empty", "binary")):
        return _of_archive(path)
    is_named_so = without_packing(path.name).endswith(_ENDINGS)
    # A damaged file with the right ending is one rejection; its bytes say nothing about its kind.
    is_damaged = is_named_so and kind in ("text", "empty", "binary")
    if not is_damaged and kind not in (*_TEXT_KINDS, *_OPENERS):
        advice = (
            "read it as a table of cases (cases.source=parquet)"
            if kind in _TABLE_KINDS
            else "convert it"
        )
        raise DataError(
            f"{path}: expected phenopackets (a .json, .jsonl or .yaml file, also as .gz, a folder "
            f"of them or a ZIP), found {words_for(kind)}; {advice}"
        )
    return _opened(path.name, _read_file(path))


def _of_folder(folder: Path) -> Iterator[tuple[str, bytes | None]]:
    for name, reason in files_below(folder):
        file = folder / name
        # A name is that of a folder where it is reached twice. A file that is linked twice is
        # read, so that its phenopackets are counted as repeated.
        if reason != HIDDEN and not file.is_dir():
            is_archive = is_zip_name(name) and zipfile.is_zipfile(file)
            if is_archive:
                yield from _of_inner(name, file, depth=1)
            else:
                yield from _opened(name, _read_file(file))


def _of_archive(path: Path) -> Iterator[tuple[str, bytes | None]]:
    try:
        archive = zipfile.ZipFile(path)
    except _UNREADABLE as error:
        raise DataError(
            f"{path}: expected a ZIP archive of phenopackets, a folder or a .json file, found "
            f"{path.stat().st_size} bytes without a usable ZIP directory (cut short or damaged); "
            "download or copy it again"
        ) from error
    with archive:
        yield from _members(archive, depth=0)


def _members(archive: zipfile.ZipFile, depth: int) -> Iterator[tuple[str, bytes | None]]:
    infos = (info for info in archive.infolist() if not info.is_dir())
    wanted = (info for info in infos if not is_hidden(info.filename))
    for info in sorted(wanted, key=lambda info: info.filename):
        try:
            with archive.open(info) as file:
                content: bytes | None = file.read(MAX_MEMBER_BYTES + 1)
        except _UNREADABLE:
            content = None
        yield from _opened(info.filename, _unpacked(content), depth)


def _opened(name: str, content: bytes | None, depth: int = 0) -> Iterator[tuple[str, bytes | None]]:
    """Yield a file as it is, or the members of the archive that it is."""
    is_archive = content is not None and len(content) <= MAX_MEMBER_BYTES and is_zip_name(name)
    if content is not None and is_archive and content[:2] == b"PK" and depth < MAX_NESTING:
        yield from _of_inner(name, io.BytesIO(content), depth + 1)
    else:
        yield name, content


def _of_inner(
    name: str, source: Path | IO[bytes], depth: int
) -> Iterator[tuple[str, bytes | None]]:
    """Yield the members of an archive within a folder or an archive, by `<its name>/<theirs>`.

    A damaged archive, or an empty one, is a file that cannot be read.
    """
    is_empty = True
    try:
        with zipfile.ZipFile(source) as archive:
            for member, content in _members(archive, depth):
                is_empty = False
                yield f"{name}/{member}", content
    except _UNREADABLE:
        is_empty = True
    if is_empty:
        yield name, None


def is_zip_name(name: str) -> bool:
    """Return whether a file's name is that of a ZIP archive; a workbook is one by content only."""
    return without_packing(name).endswith(".zip")


def without_packing(name: str) -> str:
    """Return a file's name in small letters, without the endings that packing adds."""
    name = name.lower()
    while name.endswith(_PACKED_ENDINGS):
        name = name.rpartition(".")[0]
    return name


def _read_file(path: Path) -> bytes | None:
    try:
        if not path.is_file():  # a broken link, a pipe
            return None
        with path.open("rb") as file:
            return _unpacked(file.read(MAX_MEMBER_BYTES + 1))
    except OSError:
        return None


def _unpacked(content: bytes | None) -> bytes | None:
    """Return the content of a packed file, other content as it is; None if it is damaged."""
    for _ in range(MAX_NESTING):
        opener = None if content is None else _OPENERS.get(kind_of_content(content[:HEAD_BYTES]))
        if content is None or opener is None:
            return content
        try:
            with opener(io.BytesIO(content)) as file:
                content = file.read(MAX_MEMBER_BYTES + 1)
        except _UNREADABLE:
            return None
    return content
