"""Log of the first worker, which the driver reads while it grows.

Workers' output goes to Ray's log files. The lines that a person should see (which layout and why,
which checkpoint was resumed or skipped, the calibration regime) go to a file in the step's folder
as well. As in every log, they hold ids and numbers only.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mint_ray.runtime.tail import FileTail

FILE_NAME = "worker.log"


@contextmanager
def keep_worker_log(folder: Path) -> Iterator[None]:
    """Append this package's log lines to the folder's `worker.log` while the body runs."""
    logger = logging.getLogger("mint_ray")
    level = logger.level
    handler = logging.FileHandler(folder / FILE_NAME, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()


def new_worker_lines(folder: Path) -> FileTail:
    """Return a reader of the log lines that are added from now on."""
    return FileTail(folder / FILE_NAME, from_end=True)
