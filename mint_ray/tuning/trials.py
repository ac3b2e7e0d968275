"""A campaign's trials on disk: the folder of each is the truth, and nothing else is kept.

trials/000/trial.json       what is tried and how it stands; the driver alone writes it
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
"""Why a trial was stopped, or the end of it."""


State = Literal["running", "finished", "stopped", "failed"]


Row = dict[str, float]


@dataclass
class Trial:
    """One configuration that is tried; trial 0 is the config's own.

    `choices` are the searched settings, `overrides` all that differ from the config. `judged`
    counts the rungs that were decided. `seconds` is how long workers were held, without the
    session since `running_since` (seconds of the epoch).
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
        """Validation metrics by rung, in order of steps; of a rung that was repeated, the last."""
        rows = {row["step"]: row for row in read_lines(self.folder / RUNGS)}
        return [rows[step] for step in sorted(rows)]

    def steps(self) -> list[Row]:
        """Metrics by optimizer step; of a step that was repeated after a restart, the last."""
        rows = {row["step"]: row for row in read_lines(self.folder / METRICS)}
        return [rows[step] for step in sorted(rows)]

    def spent(self) -> int:
        """Optimizer steps that were computed, repeated ones included."""
        return len(read_lines(self.folder / METRICS))

    def last_activity(self) -> float:
        """When a worker last wrote of a step, in seconds of the epoch; 0 if never."""
        file = self.folder / METRICS
        return file.stat().st_mtime if file.exists() else 0.0

    @property
    def trained(self) -> bool:
        """Whether the training reached its end and its student is whole."""
        return (self.folder / FINISHED).is_file()

    def failure(self) -> str | None:
        """Why the training gave up, where it did."""
        with suppress(OSError, ValueError):
            told = read_json(self.folder / FAILURE)
            return f"{told['kind']}: {told['message']}"
        return None

    def save(self) -> None:
        """Write `trial.json`; a reader sees the old or the new one."""
        content = asdict(self) | {"choices": dict(self.choices), "overrides": dict(self.overrides)}
        content.pop("folder")
        write_json(self.folder / TRIAL, content)


def trial_name(number: int) -> str:
    """Folder name of a trial; names sort as numbers do."""
    return f"{number:03d}"


def read_trials(output: Path) -> list[Trial]:
    """All trials of a campaign's folder, by number."""
    files = sorted((output / TRIALS).glob(f"*/{TRIAL}"))
    found = [Trial(**read_json(file), folder=file.parent) for file in files]
    return sorted(found, key=lambda trial: trial.number)
