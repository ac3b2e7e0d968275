"""Contents of image files."""

import stat
from pathlib import Path

from mint_ray.images.faults import TOO_LARGE, UNREADABLE

MAX_FILE_BYTES = 256 * 2**20
"""Most bytes of a file that is read; an image within the limit of pixels does not need more."""


def read_file(path: Path) -> bytes | str:
    """Read a file, or return `image_unreadable` or `image_too_large`."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would block for ever
            return UNREADABLE
        return TOO_LARGE if status.st_size > MAX_FILE_BYTES else path.read_bytes()
    except OSError:
        return UNREADABLE
