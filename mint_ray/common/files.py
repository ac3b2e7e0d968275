"""Atomic writing of files: a reader sees the old content or the new one, never a part."""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`, which replaces `target` once the body has ended.

    A reader sees the old file or the new one. If the body fails, the old file stays and the
    temporary one is removed. Several processes, also on several machines, may write the same
    target at once.
    """
    # Random, not a process id: machines that share a file system may have equal process ids.
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def remove_partials(target: Path) -> None:
    """Remove temporary files that killed writers of `target` left.

    No process may be writing `target` at the same time.
    """
    for partial in target.parent.glob(f".{target.name}.*.partial"):
        partial.unlink(missing_ok=True)


def write_bytes(file: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all."""
    with replacing(file) as partial:
        partial.write_bytes(content)


def write_text(file: Path, text: str, *, sync: bool = False) -> None:
    """Write a file of UTF-8 that appears whole or not at all.

    Args:
        sync: wait until the disk has it, so that it also survives a loss of power.
    """
    with replacing(file) as partial:
        partial.write_text(text, encoding="utf-8")
        if sync:
            sync_to_disk(partial)
    if sync:
        sync_to_disk(file.parent)


def sync_to_disk(path: Path) -> None:
    """Wait until the disk has a file's content, or a folder's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write an object as indented JSON into a file that appears whole or not at all."""
    write_text(file, json.dumps(content, indent=1) + "\n")


def read_json(file: Path) -> dict[str, Any]:
    """Return the object of a JSON file.

    Raises:
        OSError: the file cannot be read.
        ValueError: the content is not JSON.
    """
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content
