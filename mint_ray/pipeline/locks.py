"""Locks of step folders: one writer or many readers, held beside the folder that they guard."""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mint_ray.errors import ConfigError, MintError

LOCKS = ".locks"
"""Folder in the store. A lock that lay in a step's folder would be deleted with it."""


@contextmanager
def hold_for_writing(folder: Path) -> Iterator[None]:
    """Hold a step's folder alone while the body runs.

    The operating system gives the lock back if the process is killed.

    Raises:
        ConfigError: the store cannot be written.
        MintError: another process writes or reads the folder.
    """
    with _hold(folder, fcntl.LOCK_EX, "another process is running or reading"):
        yield


@contextmanager
def hold_for_reading(folder: Path) -> Iterator[None]:
    """Keep others from writing or deleting a step's folder while the body reads it.

    Raises:
        ConfigError: the store cannot be written.
        MintError: another process writes the folder.
    """
    with _hold(folder, fcntl.LOCK_SH, "another process is running"):
        yield


@contextmanager
def _hold(folder: Path, kind: int, what: str) -> Iterator[None]:
    file = folder.parent / LOCKS / f"{folder.name}.lock"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = file.open("a")
    except OSError as error:
        raise ConfigError(
            f"store={folder.parent}: expected a folder that can be written: {error}"
        ) from error
    with stream:
        try:
            fcntl.flock(stream, kind | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise ConfigError(
                    f"store={folder.parent}: expected a file system with locks (flock): {error}"
                ) from error
            raise MintError(
                f"{what} {folder.name}; wait until it has ended, or stop it, and run this again"
            ) from None
        yield  # closing the file gives the lock back
