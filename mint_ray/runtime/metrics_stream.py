"""Stream of metrics from a training worker to the driver, through a file.

Ray Train's callbacks run in its controller process, not in the driver. So the first worker
appends a line per report to a file in the step's folder, and the driver follows the file.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mint_ray.common.json_lines import append_line, parse_lines, read_lines
from mint_ray.runtime.polling import call_every
from mint_ray.runtime.tail import FileTail

FILE_NAME = "metrics.jsonl"
POLL_SECONDS = 1.0


def append_metrics(folder: Path, metrics: Mapping[str, float], name: str = FILE_NAME) -> None:
    """Append one line of metrics; a reader never takes a part of it for a line."""
    with (folder / name).open("ab+") as stream:
        append_line(stream, metrics)


def read_metrics_lines(folder: Path) -> list[dict[str, float]]:
    """Return the metrics of all steps; of a step that was repeated after a restart, the last.

    A torn line of a lost worker is skipped, since its step was repeated.
    """
    return list({row["step"]: row for row in read_lines(folder / FILE_NAME)}.values())


@contextmanager
def follow_metrics(folder: Path, on_metrics: Callable[[dict[str, float]], None]) -> Iterator[None]:
    """Call `on_metrics` once for every new step while the body runs, in order of steps."""
    tail = FileTail(folder / FILE_NAME)
    last_step = max((row["step"] for row in parse_lines(tail.read())), default=-1.0)

    def report_new() -> None:
        nonlocal last_step
        for row in parse_lines(tail.read()):
            if row["step"] > last_step:
                on_metrics(row)
                last_step = row["step"]

    with call_every(report_new, POLL_SECONDS, "metrics"):
        yield
