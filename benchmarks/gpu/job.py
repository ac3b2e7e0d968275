"""One call of `run.py`: its folders, its scale, and the time that a part has."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Result = dict[str, Any]
Save = Callable[[Result], None]
"""Write what a part has so far."""


class Skip(Exception):  # noqa: N818
    """Raised by a part that cannot run with this bundle; says why."""


@dataclass(frozen=True)
class Job:
    """Folders and scale of a call.

    `work` gets what is large: models and students. With `dry` everything is a hundredth of the
    size, in float32.
    """

    bundle: Path
    out: Path
    work: Path
    dry: bool

    @property
    def precision(self) -> Any:
        """Value of `training.precision`."""
        return "float32" if self.dry else "auto"

    @property
    def students(self) -> Path:
        """Folder of the trained students; those of a dry run stay apart."""
        return self.work / ("students-dry" if self.dry else "students")

    def facts(self, kind: str) -> Result:
        """Return what `bundle.json` says of a kind of pairs.

        Raises:
            Skip: the bundle has none.
        """
        kinds = json.loads((self.bundle / "bundle.json").read_text("utf-8"))["kinds"]
        if kind not in kinds:
            raise Skip(f"the bundle has no pairs of {kind}")
        facts: Result = kinds[kind]
        return facts


@dataclass(frozen=True)
class Clock:
    """Time of a part, in seconds from its construction."""

    seconds: float
    started: float = field(default_factory=time.perf_counter)

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    @property
    def left(self) -> float:
        """Seconds until the end, negative after it."""
        return self.seconds - self.spent


def write_result(file: Path, result: Result) -> None:
    """Write a JSON file whole or not at all."""
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    os.replace(partial, file)
