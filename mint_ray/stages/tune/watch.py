"""Progress of a campaign's trials, recorded in MLflow and shown on the screen."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from mint_ray.common.files import read_json, write_json
from mint_ray.config.config import Config
from mint_ray.pipeline.progress import ProgressHandle
from mint_ray.runtime.polling import call_every
from mint_ray.tracking.tracker import ChildRun, Run
from mint_ray.tuning.campaign import Campaign
from mint_ray.tuning.space import with_overrides
from mint_ray.tuning.trials import Trial

SEEN = "tracked.json"
"""File in a trial's folder: the last recorded step, whether its end was recorded, and since when
(seconds of the epoch) it is recorded."""
POLL_SECONDS = 2.0
SYSTEM_SECONDS = 10.0

_ENDS = {"finished": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}


@contextmanager
def watching(campaign: Campaign, run: Run, progress: ProgressHandle) -> Iterator[None]:
    """Record every trial as a run below the campaign's while the body runs.

    A trial that is cut off with the body ends as KILLED. It continues as the same run when the
    campaign continues.
    """
    watch = _Watch(campaign, run, progress)
    try:
        with call_every(watch.look, POLL_SECONDS, "trials"):
            yield
    finally:
        watch.close()


@dataclass
class _Tracked:
    """A trial's run, with the last recorded step and whether its end was recorded.

    Times of its records are counted from `since`, so that what a killed driver recorded, and did
    not come to remember, is the same record when the next one repeats it.
    """

    run: ChildRun
    step: float
    ended: bool
    since: float


class _Watch:
    def __init__(self, campaign: Campaign, run: Run, progress: ProgressHandle) -> None:
        self._campaign, self._run, self._progress = campaign, run, progress
        self._tracked: dict[int, _Tracked] = {}
        self._measured = -SYSTEM_SECONDS

    def look(self) -> None:
        """Record all new steps and ends of trials, and show the progress."""
        for trial in list(self._campaign.trials):
            self._record(trial)
        self._measure_system()
        self._campaign.save_elapsed()
        steps = [trial.steps() for trial in self._campaign.trials if trial.state == "running"]
        positions = "; ".join(
            f"{rows[-1]['step']:.0f}/{rows[-1]['steps']:.0f}" for rows in steps if rows
        )
        ended = sum(trial.state != "running" for trial in self._campaign.trials)
        self._progress.update(
            ended, self._campaign.total, f"running at step {positions}" if positions else ""
        )

    def close(self) -> None:
        """Mark the trials that still run as KILLED."""
        for trial in self._campaign.trials:
            tracked = self._tracked.get(trial.number)
            if tracked is not None and not tracked.ended:
                tracked.run.set_status("KILLED")

    def _record(self, trial: Trial) -> None:
        state = trial.state
        tracked = self._tracked.get(trial.number) or self._open(trial)
        if tracked.ended and state != "running":
            return
        new = [row for row in trial.steps() if row["step"] > tracked.step]
        for row in new:
            at = tracked.since + row["training_seconds"]
            tracked.run.log_metrics(row, step=int(row["step"]), at=at)
            tracked.step = row["step"]
        if state in _ENDS:
            self._end(trial, tracked)
        if new or tracked.ended:
            _remember(trial.folder, tracked)

    def _end(self, trial: Trial, tracked: _Tracked) -> None:
        costs = {"seconds": trial.seconds, "steps_spent": trial.spent(), "rungs": trial.judged}
        rungs = trial.rungs()
        last = rungs[-1] if rungs else {}
        reached = {
            name.removeprefix("validation/"): value
            for name, value in last.items()
            if name.startswith("validation/")
        }
        named = {f"trial/{name}": value for name, value in (reached | costs).items()}
        tracked.run.log_metrics(named, at=tracked.since + trial.seconds)
        tracked.run.set_tags({"state": trial.state, "reason": trial.reason})
        tracked.run.set_status(_ENDS[trial.state])
        tracked.ended = True

    def _open(self, trial: Trial) -> _Tracked:
        last = _recall(trial.folder)
        run = self._run.child(trial.folder)
        ended = bool(last["ended"]) and trial.state != "running"
        tracked = _Tracked(run, last["step"], ended, last["since"])
        self._tracked[trial.number] = tracked
        _remember(trial.folder, tracked)
        if not tracked.ended:
            run.set_status("RUNNING")
            run.log_params(_params(self._campaign.config, trial))
            run.set_tags({"attempts": trial.attempts, "default": trial.is_default})
        return tracked

    def _measure_system(self) -> None:
        """Record CPU and memory under the names of MLflow's own system metrics."""
        now = time.monotonic()
        if now - self._measured < SYSTEM_SECONDS:
            return
        self._measured = now
        memory = psutil.virtual_memory()
        values = {
            "system/cpu_utilization_percentage": psutil.cpu_percent(),
            "system/system_memory_usage_megabytes": memory.used / 2**20,
            "system/system_memory_usage_percentage": memory.percent,
        }
        self._run.log_metrics(values, step=round(self._campaign.seconds()))


def _params(config: Config, trial: Trial) -> dict[str, object]:
    """Return the settings that decide a trial's result, and the searched ones as `chosen`."""
    trial_config = with_overrides(config, trial.overrides)
    tree = trial_config.model_dump(
        mode="json", include={"seed", "preferences", "student", "training"}
    )
    return tree | {"chosen": dict(trial.choices)}


def _recall(folder: Path) -> dict[str, float]:
    nothing = {"step": 0.0, "ended": 0.0, "since": time.time()}
    try:
        return nothing | read_json(folder / SEEN)
    except (OSError, ValueError):
        return nothing


def _remember(folder: Path, tracked: _Tracked) -> None:
    seen = {"step": tracked.step, "ended": tracked.ended, "since": tracked.since}
    write_json(folder / SEEN, seen)
