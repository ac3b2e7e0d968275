"""Metrics on their way from a training worker to whoever watches the driver.

Ray Train's callbacks run in its controller process, not in the driver. So the first worker
appends a line per report to a file in the step's folder, and the driver follows the file.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from mint_ray.runtime.polling import call_every
from mint_ray.runtime.tail import FileTail

FILE_NAME = "metrics.jsonl"
POLL_SECONDS = 1.0


def append_metrics(folder: Path, metrics: Mapping[str, float], name: str = FILE_NAME) -> None:
    """Add one line; a reader never sees half of it as a line."""
    with (folder / name).open("ab+") as stream:
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            if stream.read() != b"\n":  # half a line of a worker that was lost
                stream.write(b"\n")
        stream.write(json.dumps(dict(metrics)).encode() + b"\n")


def read_metrics_lines(folder: Path) -> list[dict[str, float]]:
    """All whole lines; of a step that was repeated after a restart, the last.

    What a lost worker left of a line is passed over: its step was repeated.
    """
    return list({row["step"]: row for row in _new_rows(FileTail(folder / FILE_NAME))}.values())


def _new_rows(lines: FileTail) -> list[dict[str, float]]:
    rows = []
    for line in lines.read():
        with suppress(ValueError):
            rows.append(json.loads(line))
    return rows


@contextmanager
def follow_metrics(folder: Path, on_metrics: Callable[[dict[str, float]], None]) -> Iterator[None]:
    """Call `on_metrics` once for every new step while the body runs, in order of steps."""
    lines = FileTail(folder / FILE_NAME)
    seen = max((row["step"] for row in _new_rows(lines)), default=-1.0)

    def look() -> None:
        nonlocal seen
        for row in _new_rows(lines):
            if row["step"] > seen:
                on_metrics(row)
                seen = row["step"]

    with call_every(look, POLL_SECONDS, "metrics"):
        yield
