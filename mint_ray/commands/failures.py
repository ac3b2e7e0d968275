"""Errors for people within the errors that Ray, Arrow and the operating system raise."""

import errno
import re
from collections.abc import Iterator

from mint_ray.errors import MintError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def find_mint_error(error: BaseException) -> MintError | None:
    """Return the error that a person should read, None if there is none.

    An error of a worker arrives wrapped, with the worker's traceback for its message; a full disk
    has as many faces as there are libraries that write.
    """
    for inner in _chain(error):
        if isinstance(inner, MintError) and type(inner).__module__ == MintError.__module__:
            return inner
        if _is_disk_full(inner):
            file = getattr(inner, "filename", None)
            return MintError(
                f"no space is left on the disk{f' of {file}' if file else ''}; free some, then run "
                "the same command again: what was finished is kept"
            )
    return None


def was_interrupted(error: BaseException) -> bool:
    """Return whether an error is what became of an interrupt (Ctrl-C) on its way out.

    Whatever ends then, such as a connection to a server that was interrupted too, may fail, and
    its error takes the interrupt's place.
    """
    return any(isinstance(inner, KeyboardInterrupt) for inner in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it, outermost first; Ray keeps the cause in an attribute."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        inner = waiting.pop(0)
        if not isinstance(inner, BaseException) or id(inner) in seen:
            continue
        seen.add(id(inner))
        yield inner
        waiting += [getattr(inner, "cause", None), inner.__cause__, inner.__context__]


def _is_disk_full(error: BaseException) -> bool:
    if not isinstance(error, OSError):
        return False
    # Arrow and SQLite put the system's words into the text and leave the number out.
    return error.errno in _DISK_FULL or bool(re.search("No space left on device", str(error)))
