"""Bounded write-ahead queue of records in one JSON-lines file.

Every record is appended before it is sent, and removed once the store has it. So no record is lost
while the store is absent. A crash at worst sends a record twice, which the store merges into one,
since records carry their time. Several processes on one machine may share the file.
"""

import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mint_ray.common.json_lines import append_line, line_of, parse_line
from mint_ray.tracking.records import Record

logger = logging.getLogger(__name__)

MAX_BYTES = 16 * 1024 * 1024


class RecordQueue:
    """Queue of the records that wait in `path`; the file is empty or absent if none waits."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self.max_bytes = max_bytes

    def append(self, record: Record) -> bool:
        """Add a record; return False if the queue is full.

        A status is accepted beyond the bound: it is short, and the last one counts.
        """
        with self._locked() as file:
            size = file.seek(0, os.SEEK_END) + len(line_of(record))
            if size > self.max_bytes and record["kind"] != "status":
                return False
            append_line(file, record)
        return True

    def drain(self, send: Callable[[Record], None]) -> int:
        """Send the records in order, stop at the first error, and return how many remain.

        Raises:
            Exception: whatever `send` raised; the record it failed on and those after it remain.
        """
        if not self.path.exists():
            return 0
        with self._locked() as file:
            file.seek(0)
            lines = file.readlines()
            done = 0
            try:
                for line in lines:
                    record = _parse(line)
                    if record is not None:
                        send(record)
                    done += 1
            finally:
                if done:
                    _keep(file, lines[done:])
        return len(lines) - done

    def __len__(self) -> int:
        if not self.path.exists():
            return 0
        with self._locked() as file:
            file.seek(0)
            return len(file.readlines())

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file  # closing the file releases the lock


def _parse(line: bytes) -> Record | None:
    record = parse_line(line)
    if record is None:
        # Only a process killed while appending leaves half a line.
        logger.warning("[Tracking] dropped a damaged queue line of %d bytes", len(line))
    return record


def _keep(file: BinaryIO, lines: list[bytes]) -> None:
    # The file is open for appending: after truncation every write lands at its start.
    file.truncate(0)
    file.writelines(lines)
    file.flush()
