"""One call of `run.py` or `arms.py`: its folders and scale, what it trains, the time of a part."""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Result = dict[str, Any]
Save = Callable[[Result], None]
"""Write what a part has so far."""


TRAINED = "training.json"
"""File with the training's facts, written into the folder of a student once that is there."""


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


@dataclass(frozen=True)
class Arm:
    """A student to train: on which pairs, how, and what differs from the bundle's config.

    Attributes:
        kind: pairs, a folder of the bundle's `pairs`.
        objective: value of `training.objective`.
        start: name of the arm whose student it continues from.
        passes: passes over the pairs; None for as many as the time allows, at most `EPOCHS`.
        changes: settings of `training` that differ.
        model: base model instead of the bundle's, a folder of the job's `models`.
        seed: of order and dropout instead of the bundle's.
    """

    kind: str
    objective: str
    start: str | None = None
    passes: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    seed: int | None = None


def write_result(file: Path, result: Result) -> None:
    """Write a JSON file whole or not at all."""
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    os.replace(partial, file)
