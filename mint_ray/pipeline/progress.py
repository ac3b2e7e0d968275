"""Display of progress for people: one live view on a terminal, lines in a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from mint_ray.pipeline.manifest import Manifest

LOG_INTERVAL_SECONDS = 20.0


class ProgressHandle(Protocol):
    """Handle with which a stage reports its progress."""

    def update(self, done: float, total: float, detail: str = "") -> None:
        """Report how much of `total` is done, in units that the stage chooses."""

    def say(self, message: str) -> None:
        """Print a resolved value or a count that matters, with the reason for it."""


class Progress:
    """Display of the steps of a run, live if the console is a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, message: str) -> None:
        """Print one plain line."""
        self.console.print(message, markup=False)

    def skip(self, stage: str, key: str) -> None:
        """Report a step that is complete already."""
        self.say(f"{stage:<9} {key}  complete, skipped")

    def done(self, stage: str, key: str, manifest: Manifest) -> None:
        """Report a step that has just finished, with its counts."""
        rejected = ", ".join(f"{n} {reason}" for reason, n in sorted(manifest.rejected.items()))
        self.say(
            f"{stage:<9} {key}  done in {manifest.wall_seconds or 0:.0f} s: "
            f"{manifest.rows_in} in, {manifest.rows_out} out"
            + (f", rejected: {rejected}" if rejected else "")
        )

    @contextmanager
    def stage(self, name: str, about: str) -> Iterator[ProgressHandle]:
        """Show a stage while the body runs."""
        if not self.console.is_terminal:
            self.say(f"{name:<9} {about}")
            yield _LineTask(self.console, name)
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.fields[name]:<9} {task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
        )
        with RichProgress(*columns, console=self.console, transient=True) as view:
            row = view.add_task(about, total=None, name=name, detail="")
            yield _LiveTask(view, row, name)


class _LineTask:
    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name, self._last = console, name, time.monotonic()

    def update(self, done: float, total: float, detail: str = "") -> None:
        now = time.monotonic()
        if now - self._last >= LOG_INTERVAL_SECONDS or done >= total:
            self._last = now
            self.say(f"{done:g}/{total:g} {detail}".rstrip())

    def say(self, message: str) -> None:
        self._console.print(f"{self._name:<9} {message}", markup=False)


class _LiveTask:
    def __init__(self, view: RichProgress, row: "object", name: str) -> None:
        self._view, self._row, self._name = view, row, name

    def update(self, done: float, total: float, detail: str = "") -> None:
        self._view.update(self._row, completed=done, total=total, detail=detail)  # type: ignore[arg-type]

    def say(self, message: str) -> None:
        self._view.console.print(f"{self._name:<9} {message}", markup=False)
