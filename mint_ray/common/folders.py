"""Files below a folder, with what symbolic links lead to and what cannot be read."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

HIDDEN: Final = "hidden_file"
"""Reason: the name of the file, or of a folder that contains it, begins with a dot."""

LINKED_TWICE: Final = "linked_twice"
"""Reason: a symbolic link leads to what is read elsewhere, or to a folder that contains it."""

FOLDER_UNREADABLE: Final = "folder_unreadable"
"""Reason: a folder cannot be listed."""

_Identity = tuple[int, int]  # device and number of a file


class FoundFile(NamedTuple):
    """A path below a folder, with forward slashes, and the reason why it is not to be read."""

    name: str
    reason: str | None = None


def files_below(folder: Path) -> list[FoundFile]:
    """Return all but folders below a folder, sorted by name.

    Symbolic links are followed after everything else, in the order of their names. What is
    reached a second time through one is `linked_twice`, which ends loops. A folder that cannot be
    listed stands for its files, with `folder_unreadable`. Hidden files have the reason
    `hidden_file`; what is hidden may be linked to, as git-annex and similar stores do.
    """
    walk = _Walk(folder)
    found = list(walk.real_files("", folder))
    while walk.links:
        walk.links.sort()
        found += walk.follow(walk.links.pop(0))
    return sorted(FoundFile(f.name, HIDDEN) if is_hidden(f.name) else f for f in found)


class _Walk:
    def __init__(self, root: Path) -> None:
        self.links: list[str] = []
        self._root = root
        self._files: set[_Identity] = set()
        self._folders = {_identity(parent) for parent in root.resolve().parents}

    def real_files(self, below: str, folder: Path) -> Iterator[FoundFile]:
        """Yield files without following links, which are kept for later.

        Args:
            below: path below the root, with a slash at its end, of a linked folder; "" for the
                root itself.
            folder: the folder.
        """
        open_folders = [(below, folder)]
        while open_folders:
            prefix, path = open_folders.pop()
            try:
                identity = _identity(path)
                if identity in self._folders:
                    yield FoundFile(prefix.rstrip("/"), LINKED_TWICE)
                    continue
                if not is_hidden(prefix):
                    self._folders.add(identity)
                with os.scandir(path) as entries:
                    listed = list(entries)
            except OSError:
                yield FoundFile(prefix.rstrip("/") or ".", FOLDER_UNREADABLE)
                continue
            for entry in listed:
                name = prefix + entry.name
                if entry.is_symlink():
                    self.links.append(name)
                elif entry.is_dir():
                    open_folders.append((f"{name}/", path / entry.name))
                else:
                    file = (identity[0], entry.inode())
                    again = bool(below) and file in self._files
                    if not is_hidden(name):
                        self._files.add(file)
                    yield FoundFile(name, LINKED_TWICE if again else None)

    def follow(self, link: str) -> Iterator[FoundFile]:
        """Yield the file that a link leads to, or the files of the folder."""
        path = self._root / link
        if is_hidden(link):
            yield FoundFile(link)
            return
        if path.is_dir():
            yield from self.real_files(f"{link}/", path)
            return
        try:
            identity = _identity(path)
        except OSError:  # leads nowhere, or to itself; whoever reads it says so
            yield FoundFile(link)
            return
        yield FoundFile(link, LINKED_TWICE if identity in self._files else None)
        self._files.add(identity)


def is_hidden(name: str) -> bool:
    """Return whether the name of a file or of a folder on its path begins with a dot."""
    return any(part.startswith(".") for part in name.split("/") if part not in (".", ".."))


def _identity(path: Path) -> _Identity:
    status = path.stat()
    return status.st_dev, status.st_ino
