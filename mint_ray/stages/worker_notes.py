"""What the first worker says of its choices, on its way to whoever watches the driver.

Workers' output goes to Ray's log files; the lines that a person should see (which layout and why,
which checkpoint was resumed or passed over, the calibration regime) go to a file in the step's
folder as well. Ids and numbers only, as in every log.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE_NAME = "notes.log"


@contextmanager
def keep_notes(folder: Path) -> Iterator[None]:
    """Append this package's log lines to the folder's notes while the body runs."""
    logger = logging.getLogger("mint_ray")
    before = logger.level
    handler = logging.FileHandler(folder / FILE_NAME, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.close()


class Notes:
    """The lines that were added since one last looked, from now on."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE_NAME
        self._offset = self._file.stat().st_size if self._file.exists() else 0

    def new(self) -> list[str]:
        """Whole new lines."""
        if not self._file.exists():
            return []
        with self._file.open("rb") as stream:
            stream.seek(self._offset)
            whole = stream.read().rpartition(b"\n")[0]
        self._offset += len(whole) + 1 if whole else 0
        return whole.decode("utf-8", "replace").splitlines()
