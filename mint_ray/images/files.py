"""Files that may be images: which lie below a folder, and what is read of them."""

import stat
from pathlib import Path

from mint_ray.images.decode import TOO_LARGE, UNREADABLE

HIDDEN = "hidden_file"
"""Reason: a file's own name, or a folder's that it lies in, begins with a dot."""

MAX_FILE_BYTES = 256 * 2**20
"""A file of more bytes is not read: no image within the limit of pixels needs as many."""


def names_below(folder: Path) -> list[str]:
    """Paths of everything below a folder but folders, sorted, with forward slashes."""
    return sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if not f.is_dir())


def is_hidden(name: str) -> bool:
    """Whether a path of `names_below` is hidden; see `HIDDEN`."""
    return any(part.startswith(".") for part in name.split("/"))


def read_file(path: Path) -> bytes | str:
    """A file's content, or a reason: `image_unreadable`, `image_too_large`."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for without end
            return UNREADABLE
        return TOO_LARGE if status.st_size > MAX_FILE_BYTES else path.read_bytes()
    except OSError:
        return UNREADABLE
