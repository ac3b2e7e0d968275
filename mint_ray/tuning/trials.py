"""Trials of a campaign on disk; the folder of a trial is its only record.

trials/000/trial.json       settings and state of the trial; only the driver writes it
trials/000/rungs.jsonl      validation metrics at every rung, appended by the trial's first worker
trials/000/metrics.jsonl    metrics of every optimizer step, likewise
trials/000/validated-*.parquet, the student's own files once the trial is finished
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from mint_ray.common.files import read_json, write_json
from mint_ray.common.json_lines import read_lines
from mint_ray.config.tune import Value

TRIALS = "trials"


TRIAL = "trial.json"


RUNGS = "rungs.jsonl"


METRICS = "metrics.jsonl"


FAILURE = "failure.json"


FINISHED = "summary.json"
"""The last file that a finished training writes."""


OUT_OF_TIME = "the time budget is spent"
"""Reason why a trial was stopped, or the end of that reason."""


State = Literal["running", "finished", "stopped", "failed"]


Row = dict[str, float]


@dataclass
class Trial:
    """One configuration that is tried; trial 0 is the config's own.

    `choices` are the searched settings, `overrides` all settings that differ from the config.
    `judged` counts the rungs that were decided. `seconds` is the time that the trial had workers,
    without the session since `running_since` (seconds of the epoch).
    """

    number: int
    choices: Mapping[str, Value]
    overrides: Mapping[str, Value]
    state: State = "running"
    reason: str = ""
    attempts: int = 0
    judged: int = 0
    seconds: float = 0.0
    running_since: float | None = None
    folder: Path = field(default=Path(), compare=False)

    @property
    def name(self) -> str:
        """Name of the trial's folder."""
        return trial_name(self.number)

    @property
    def is_default(self) -> bool:
        """Whether this is the config's own configuration."""
        return self.number == 0

    def rungs(self) -> list[Row]:
        """Return validation metrics by rung, in order of steps; of a repeated rung, the last."""
        rows = {row["step"]: row for row in read_lines(self.folder / RUNGS)}
        return [rows[step] for step in sorted(rows)]

    def steps(self) -> list[Row]:
        """Return metrics by optimizer step; of a step that a restart repeated, the last."""
        rows = {row["step"]: row for row in read_lines(self.folder / METRICS)}
        return [rows[step] for step in sorted(rows)]

    def spent(self) -> int:
        """Return the number of computed optimizer steps, repeated ones included."""
        return len(read_lines(self.folder / METRICS))

    def last_activity(self) -> float:
        """Return when a worker last wrote metrics, in seconds of the epoch; 0 if never."""
        file = self.folder / METRICS
        return file.stat().st_mtime if file.exists() else 0.0

    @property
    def trained(self) -> bool:
        """Whether the training reached its end and its student is whole."""
        return (self.folder / FINISHED).is_file()

    def failure(self) -> str | None:
        """Return the error that ended the training; None if there is none."""
        with suppress(OSError, ValueError):
            error = read_json(self.folder / FAILURE)
            return f"{error['kind']}: {error['message']}"
        return None

    def save(self) -> None:
        """Write `trial.json`; a reader sees the old or the new one."""
        content = asdict(self) | {"choices": dict(self.choices), "overrides": dict(self.overrides)}
        content.pop("folder")
        write_json(self.folder / TRIAL, content)


def trial_name(number: int) -> str:
    """Return the folder name of a trial; names sort as numbers do."""
    return f"{number:03d}"


def read_trials(output: Path) -> list[Trial]:
    """Return all trials of a campaign's folder, in order of their numbers."""
    files = sorted((output / TRIALS).glob(f"*/{TRIAL}"))
    trials = [Trial(**read_json(file), folder=file.parent) for file in files]
    return sorted(trials, key=lambda trial: trial.number)
