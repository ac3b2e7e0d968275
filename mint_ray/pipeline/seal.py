"""Checksums of the files of a finished step.

They are written before the manifest says complete, and checked before a later step reads.
"""

from pathlib import Path

from mint_ray.common.digests import sha256
from mint_ray.common.files import sync_to_disk
from mint_ray.errors import ConfigError, DataError
from mint_ray.pipeline.manifest import FILE_NAME, read_manifest

CHANGING = ("tracking",)
"""Beginnings of the names of files that change after the step is complete: those of the tracker."""


def seal_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder, once the disk has them.

    Subfolders, hidden files and files that change later do not count. The only subfolders that a
    later step reads are teachers, which carry checksums of their own.
    """
    sealed = {}
    for file in sorted(folder.iterdir()):
        counts = (
            file.is_file() and file.name != FILE_NAME and not file.name.startswith((".", *CHANGING))
        )
        if counts:
            sync_to_disk(file)
            sealed[file.name] = sha256(file)
    sync_to_disk(folder)
    return sealed


def check_complete(folder: Path, reader: str, stage: str) -> None:
    """Raise an error unless a folder holds a complete output, its files as they were written.

    Args:
        folder: of the output.
        reader: the stage that is about to read it.
        stage: the one that wrote it.

    Raises:
        ConfigError: the output is not complete.
        DataError: a file is missing or has changed.
    """
    manifest = read_manifest(folder)
    if manifest is None or not manifest.complete:
        raise ConfigError(f"stage {reader} needs {stage}, which is not complete")
    check_files(folder)


def check_files(folder: Path) -> None:
    """Raise DataError if a file that the folder's manifest names is missing or has changed.

    A folder without a manifest, or with one of before there were checksums, passes.
    """
    manifest = read_manifest(folder)
    for name, expected in (manifest.files if manifest else {}).items():
        file = folder / name
        try:
            found = sha256(file)
        except OSError as error:
            found = error.strerror or type(error).__name__
        if found != expected:
            raise DataError(
                f"{file} is damaged: expected the SHA-256 {expected[:12]} that was written, found "
                f"{found[:32]}; run its stage again with --force"
            )
