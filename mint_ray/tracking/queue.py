"""A bounded write-ahead queue of tracking records in JSON-lines files.

Every record is appended before it is sent and removed once the store has it. An absent store
loses nothing, and a crash at worst sends a record twice (which the store folds into one: records
carry their time). Several processes on one machine may share the queue.

QUEUE            records that wait; appended to under QUEUE.lock
QUEUE.sending    records that a sender has taken; they come before those of QUEUE

A sender renames the first to the second and sends from there, so that nobody who appends waits
for the store. Both files are only ever appended to, renamed, or replaced as a whole: a process
that is killed at any point leaves every record in one of them.
"""

import fcntl
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mint_ray.common.files import replacing
from mint_ray.common.json_lines import append_line, line_of, parse_line
from mint_ray.tracking.records import Record

logger = logging.getLogger(__name__)

MAX_BYTES = 16 * 1024 * 1024


class RecordQueue:
    """Records that wait in `path`; the files are empty or absent if none waits."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._sending = path.with_name(f"{path.name}.sending")

    def append(self, record: Record) -> bool:
        """Add a record; return False if the queue is full.

        A status is accepted beyond the bound: it is short, and the last one counts.
        """
        with self._hold("lock"):
            size = sum(map(_size, (self._sending, self.path))) + len(line_of(record))
            if size > self.max_bytes and record["kind"] != "status":
                return False
            with self.path.open("ab+") as file:
                append_line(file, record)
        return True

    def drain(self, send: Callable[[Record], None]) -> int:
        """Send the records in order, stop at the first error, and return how many remain.

        Returns at once if another process is sending.

        Raises:
            Exception: the error of `send`; the record it failed on and those after it remain.
        """
        if not self.waits():
            return 0
        with self._hold("sender", wait=False) as alone:
            while alone and self._take():
                self._send(send)
        return len(self)

    def _take(self) -> bool:
        """Rename the waiting records to those to be sent, unless some of those are left."""
        if _size(self._sending):
            return True
        with self._hold("lock"):
            if not _size(self.path):
                return False
            self.path.replace(self._sending)
        return True

    def _send(self, send: Callable[[Record], None]) -> None:
        lines = self._sending.read_bytes().splitlines(keepends=True)
        done = 0
        try:
            for line in lines:
                record = _parse(line)
                if record is not None:
                    send(record)
                done += 1
        finally:
            if done == len(lines):
                self._sending.unlink()
            elif done:
                with replacing(self._sending) as partial:
                    partial.write_bytes(b"".join(lines[done:]))

    def __len__(self) -> int:
        if not self.waits():
            return 0
        with self._hold("lock"):
            files = [file for file in (self._sending, self.path) if file.exists()]
            return sum(len(file.read_bytes().splitlines()) for file in files)

    def waits(self) -> bool:
        """Return whether a record waits, without a look into the files."""
        return any(map(_size, (self._sending, self.path)))

    @contextmanager
    def _hold(self, name: str, wait: bool = True) -> Iterator[bool]:
        """Hold a lock beside the queue; yield False if `wait` is off and another one has it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f".{self.path.name}.{name}").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True  # closing the file gives the lock back


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _parse(line: bytes) -> Record | None:
    record = parse_line(line)
    if record is None:
        # Only a process killed while appending leaves half a line.
        logger.warning("[Tracking] dropped a damaged queue line of %d bytes", len(line))
    return record
