"""Files of phenopackets: one file, a folder of them, or a ZIP archive; each also as .gz."""

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from mint_ray.common.file_kinds import FileKind, kind_of_file, words_for
from mint_ray.common.folders import HIDDEN, files_below, is_hidden
from mint_ray.errors import DataError

MAX_MEMBER_BYTES = 16 * 2**20
"""Most bytes of one file, unpacked; a larger one is turned away. A patient takes about 7 kB."""

_ENDINGS = (".json", ".jsonl", ".ndjson", ".yaml", ".yml")
_TEXT_KINDS: tuple[FileKind, ...] = ("json", "yaml")
_TABLE_KINDS: tuple[FileKind, ...] = ("parquet", "csv", "tsv")

# Exceptions of reading damaged, encrypted or unknown archives and members.
_UNREADABLE = (
    OSError,
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
    hidden ones. Links to folders are followed, each folder once. A gzip file is unpacked.
    Nothing is unpacked to disk. At most one byte more than `MAX_MEMBER_BYTES` is read of a
    member, which is enough to recognise a larger one. A member that cannot be read has the
    content None.

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
    is_named_so = path.name.lower().removesuffix(".gz").endswith(_ENDINGS)
    # A damaged file with the right ending is one rejection; its bytes say nothing about its kind.
    if not (
        kind in (*_TEXT_KINDS, "gzip") or (is_named_so and kind in ("text", "empty", "binary"))
    ):
        advice = (
            "read it as a table of cases (cases.source=parquet)"
            if kind in _TABLE_KINDS
            else "convert it"
        )
        raise DataError(
            f"{path}: expected phenopackets (a .json, .jsonl or .yaml file, also as .gz, a folder "
            f"of them or a ZIP), found {words_for(kind)}; {advice}"
        )
    return iter([(path.name, _read_file(path))])


def _of_folder(folder: Path) -> Iterator[tuple[str, bytes | None]]:
    for name, reason in files_below(folder):
        file = folder / name
        # A name is that of a folder where it is reached twice. A file that is linked twice is
        # read, so that its phenopackets are counted as repeated.
        if reason != HIDDEN and not file.is_dir():
            yield name, _read_file(file)


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
        infos = (info for info in archive.infolist() if not info.is_dir())
        wanted = (info for info in infos if not is_hidden(info.filename))
        for info in sorted(wanted, key=lambda info: info.filename):
            try:
                with archive.open(info) as file:
                    content: bytes | None = file.read(MAX_MEMBER_BYTES + 1)
            except _UNREADABLE:
                content = None
            yield info.filename, _unpacked(content)


def _read_file(path: Path) -> bytes | None:
    try:
        if not path.is_file():  # a broken link, a pipe
            return None
        with path.open("rb") as file:
            return _unpacked(file.read(MAX_MEMBER_BYTES + 1))
    except OSError:
        return None


def _unpacked(content: bytes | None) -> bytes | None:
    """Return the content of a gzip file, other content as it is; None if it is damaged."""
    if content is None or not content.startswith(b"\x1f\x8b"):
        return content
    try:
        with gzip.open(io.BytesIO(content)) as file:
            return file.read(MAX_MEMBER_BYTES + 1)
    except _UNREADABLE:
        return None
