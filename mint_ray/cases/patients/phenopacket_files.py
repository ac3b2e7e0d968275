"""Files of phenopackets: one JSON file, a folder of them, or a ZIP archive."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from mint_ray.errors import DataError

MAX_MEMBER_BYTES = 16 * 2**20
"""Most bytes of one phenopacket; a larger one is turned away. A patient takes about 7 kB."""

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
    """Yield the names and contents of the JSON files at `path`, sorted by name.

    A folder is searched with its subfolders. Nothing is unpacked to disk. At most one byte more
    than `MAX_MEMBER_BYTES` is read of a member, which is enough to recognise a larger one. A
    member that cannot be read has the content None.

    Raises:
        DataError: the path is absent, is not of the three kinds, is a ZIP archive that is cut
            short, or holds no JSON file.
    """
    if path.is_dir():
        members = _of_folder(path)
    elif not path.is_file():
        raise DataError(
            f"{path}: expected a phenopacket file, folder or ZIP, found nothing there; check the "
            "path"
        )
    elif path.suffix.lower() == ".json":
        members = iter([(path.name, _read_file(path))])
    else:
        members = _of_archive(path)
    empty = True
    for member in members:
        empty = False
        yield member
    if empty:
        raise DataError(
            f"{path}: expected phenopackets (files that end in .json), found none; check the path"
        )


def _of_folder(folder: Path) -> Iterator[tuple[str, bytes | None]]:
    files = (file for file in folder.rglob("*") if _is_json(file.name) and file.is_file())
    for name, file in sorted((file.relative_to(folder).as_posix(), file) for file in files):
        yield name, _read_file(file)


def _of_archive(path: Path) -> Iterator[tuple[str, bytes | None]]:
    try:
        archive = zipfile.ZipFile(path)
    except _UNREADABLE as error:
        raise DataError(
            f"{path}: expected a ZIP archive of phenopackets, a folder or a .json file, found "
            f"{path.stat().st_size} bytes without a usable ZIP directory (cut short, damaged, "
            "or another kind of file); download or copy it again"
        ) from error
    with archive:
        infos = (info for info in archive.infolist() if not info.is_dir())
        wanted = (info for info in infos if _is_json(info.filename.rsplit("/", 1)[-1]))
        for info in sorted(wanted, key=lambda info: info.filename):
            try:
                with archive.open(info) as file:
                    content: bytes | None = file.read(MAX_MEMBER_BYTES + 1)
            except _UNREADABLE:
                content = None
            yield info.filename, content


def _is_json(name: str) -> bool:
    # Archives made on macOS carry a hidden companion of each file, "._NAME.json".
    return name.lower().endswith(".json") and not name.startswith(".")


def _read_file(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_MEMBER_BYTES + 1)
    except OSError:
        return None
