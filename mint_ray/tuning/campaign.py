"""State of a campaign: trials to start, to continue and to stop.

Everything is decided from the trials' folders. So a campaign that is started again continues where
it stood, at whatever moment it was cut off.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mint_ray.common.files import read_json, write_json
from mint_ray.config.config import Config
from mint_ray.evaluation.results import METRICS as MEASURES
from mint_ray.tuning import trials as records
from mint_ray.tuning.search import Tried, fits, grid, grid_size, propose
from mint_ray.tuning.space import Choices, is_legal, overrides_of, own_choices, shown
from mint_ray.tuning.stopping import Verdict, judge
from mint_ray.tuning.trials import Row, Trial

CLOCK = "campaign.json"
_TAGS = {"asha": "ASHA", "median": "Median", "none": "Rung"}


@dataclass
class Campaign:
    """A campaign, with its trials in one step's folder.

    Args:
        config: the run's config; trial 0 is exactly this.
        output: the step's folder.
        say: prints a line about every decision.
        prepare: called with a trial that is about to start or to continue.
        clock: returns the time in seconds of the epoch.
    """

    config: Config
    output: Path
    say: Callable[[str], None]
    prepare: Callable[[Trial], None] = lambda trial: None
    clock: Callable[[], float] = time.time
    trials: list[Trial] = field(default_factory=list)
    gave_up: str = ""
    """Reason why the campaign ends early; empty if it does not."""
    exhausted: bool = False
    """Whether nothing is left to try."""

    def __post_init__(self) -> None:
        self.settings = self.config.tune
        self.sign = 1.0 if MEASURES[self.measure].higher_is_better else -1.0
        self._began = self.clock()
        self._spent = _seconds_of(self.output)
        self._out_of_time = False
        self.trials = records.read_trials(self.output)
        self._waiting = [trial for trial in self.trials if self._is_open(trial)]
        if self.trials:
            self.say(f"[Resume] {self.counts()}; {len(self._waiting)} of them go on")

    @property
    def measure(self) -> str:
        """Name of the metric that trials are compared by, without `validation/`."""
        return self.settings.metric.removeprefix("validation/")

    @property
    def total(self) -> int:
        """Number of trials that there will be, if time and the space allow."""
        size = grid_size_of(self.config)
        wanted = self.settings.trials or math.inf
        return int(min(wanted, size) if size is not None else wanted)

    def next_trial(self) -> Trial | None:
        """Return the trial to start now, an interrupted or a new one; None if there is none."""
        if self.gave_up:
            return None
        if self.is_out_of_time():
            self._drop_waiting()
        if self._waiting:
            return self._start(self._waiting.pop(0))
        if len(self.trials) >= self.total or self.is_out_of_time():
            return None
        choices = self._propose()
        if choices is None:
            self.exhausted = True
            self.say("[Search] no further legal configuration of the space was found")
            return None
        number = len(self.trials)
        folder = self.output / records.TRIALS / records.trial_name(number)
        folder.mkdir(parents=True, exist_ok=True)
        overrides = {} if number == 0 else overrides_of(self.config, choices)
        trial = Trial(number, choices, overrides, folder=folder)
        self.trials.append(trial)
        return self._start(trial)

    def on_report(self, number: int) -> bool:
        """Decide on the rungs that a trial has newly reached; return whether it must stop now."""
        trial = self.trials[number]
        self._count_time(trial)
        for rung, row in enumerate(trial.rungs()):
            if rung < trial.judged:
                continue
            if row["step"] >= row["steps"]:
                break
            verdict = self._judge(trial, rung, row)
            trial.judged = rung + 1
            word = "STOP" if verdict.stop else "go on"
            self.say(
                f"[{_TAGS[self.settings.scheduler]}] {word}: trial {number} at step "
                f"{row['step']:.0f} of {row['steps']:.0f}, {self._shown(row)}; {verdict.why}"
            )
            if verdict.stop:
                self._close(trial, "stopped", f"step {row['step']:.0f}: {verdict.why}")
                return True
        trial.save()
        return bool(self.gave_up)

    def on_trial_end(self, number: int, error: str | None = None) -> None:
        """Record how a trial ended whose workers are gone.

        A trial that neither finished nor failed stays open: it was interrupted.

        Args:
            number: number of the trial.
            error: reason from Ray why the trial could not continue; None if Ray gives none.
        """
        trial = self.trials[number]
        if trial.state != "running":
            return
        if trial.trained:
            last = trial.rungs()[-1]
            self._close(trial, "finished", "")
            self.say(
                f"[Trial] FINISHED: trial {number}, {last['step']:.0f} steps, "
                f"{self._shown(last)} ({self.counts()})"
            )
            return
        why = trial.failure() or error
        if why is None:
            return
        self._close(trial, "failed", why)
        failed = sum(tried.state == "failed" for tried in self.trials)
        allowed = self.settings.max_trial_failures
        self.say(f"[Trial] FAILED: trial {number} ({failed} of {allowed} allowed): {why}")
        if trial.is_default:
            self.gave_up = f"the config's own configuration (trial 0) failed: {why}"
        elif failed > allowed:
            self.gave_up = (
                f"{failed} trials failed, more than tune.max_trial_failures={allowed}; the last "
                f"error: {why}"
            )

    def on_interrupt(self) -> None:
        """Save the time of the trials that still run."""
        for trial in self.trials:
            if trial.state == "running":
                self._count_time(trial)
                trial.running_since = None
                trial.save()
        self.save_elapsed()

    def is_complete(self) -> bool:
        """Return whether no trial runs and no more will start."""
        running = any(trial.state == "running" for trial in self.trials)
        more = len(self.trials) < self.total and not self.exhausted and not self.is_out_of_time()
        return bool(self.trials) and not running and (not more or bool(self.gave_up))

    def is_out_of_time(self) -> bool:
        """Return whether `tune.time_budget_minutes` is spent; print so the first time."""
        budget = self.settings.time_budget_minutes
        if budget is None or self.seconds() < 60 * budget:
            return False
        if not self._out_of_time:
            self._out_of_time = True
            self.say(f"[Budget] {budget:g} minutes are spent: no further trial starts")
        return True

    def seconds(self) -> float:
        """Return the wall time of the campaign over all restarts, in seconds."""
        return self._spent + self.clock() - self._began

    def save_elapsed(self) -> None:
        """Write the wall time to disk; after a kill, the time since the last call is lost."""
        write_json(self.output / CLOCK, {"seconds": self.seconds()})

    def counts(self) -> str:
        """Return counts such as `5 of 8 trials: 2 finished, 2 stopped, 1 running`."""
        words = ("finished", "stopped", "failed", "running")
        numbers = {word: sum(trial.state == word for trial in self.trials) for word in words}
        parts = ", ".join(f"{number} {word}" for word, number in numbers.items() if number)
        return f"{len(self.trials)} of {self.total} trials: {parts}"

    def score(self, row: Row) -> float:
        """Return the metric of a rung, signed so that more is better; -inf if not finite."""
        value = row.get(self.settings.metric)
        usable = value is not None and math.isfinite(value)
        return self.sign * value if usable and value is not None else -math.inf

    def best(self) -> Trial | None:
        """Return the finished trial with the best final metric, the earliest among equals."""
        finished = [trial for trial in self.trials if trial.state == "finished"]
        return max(finished, key=lambda t: (self.score(t.rungs()[-1]), -t.number), default=None)

    def _is_open(self, trial: Trial) -> bool:
        """Update a trial of an earlier session; return whether it still has to run."""
        if trial.running_since is not None:
            # The driver was killed: the time of its workers is counted up to their last step.
            trial.seconds += max(0.0, trial.last_activity() - trial.running_since)
            trial.running_since = None
        if trial.state == "failed":  # try again: the cause may be gone
            trial.state, trial.reason = "running", ""
        trial.save()
        if trial.state != "running":
            return False
        if trial.trained:
            trial.state = "finished"
            trial.save()
            return False
        return not self.on_report(trial.number)

    def _drop_waiting(self) -> None:
        """Stop trials of an earlier session for which no time is left.

        Trial 0 (the config's own settings) still runs to its end.
        """
        for trial in self._waiting:
            if not trial.is_default:
                self._close(trial, "stopped", records.OUT_OF_TIME)
        self._waiting = [trial for trial in self._waiting if trial.is_default]

    def _start(self, trial: Trial) -> Trial:
        trial.attempts += 1
        trial.running_since = self.clock()
        (trial.folder / records.FAILURE).unlink(missing_ok=True)
        self.prepare(trial)
        trial.save()
        settings = ", ".join(f"{name} {shown(value)}" for name, value in trial.choices.items())
        origin = "the config's own: " if trial.is_default else ""
        word = "START" if trial.attempts == 1 else f"CONTINUE (attempt {trial.attempts})"
        self.say(f"[Trial] {word}: trial {trial.number} of {self.total}, {origin}{settings}")
        return trial

    def _propose(self) -> Choices | None:
        if not self.trials:
            return own_choices(self.config)
        chosen = self.settings.search_seed
        seed = self.config.seed if chosen is None else chosen
        tried = [self._tried(trial) for trial in self.trials]
        return propose(self.settings, seed, tried, partial(is_legal, self.config))

    def _tried(self, trial: Trial) -> Tried:
        rungs = trial.rungs()
        early = {int(row["step"]): self.score(row) for row in rungs}
        early = {step: value for step, value in early.items() if math.isfinite(value)}
        done = trial.state == "finished" and int(rungs[-1]["step"]) in early
        value = early[int(rungs[-1]["step"])] if done else None
        state = "failed" if trial.state == "finished" and value is None else trial.state
        return Tried(dict(trial.choices), state, value, early)

    def _judge(self, trial: Trial, rung: int, row: Row) -> Verdict:
        if trial.is_default:
            return Verdict(False, "the config's own configuration always runs to its end")
        if self.is_out_of_time():
            return Verdict(True, records.OUT_OF_TIME)
        others = [other.rungs() for other in self.trials if other is not trial]
        reached = [self.score(rungs[rung]) for rungs in others if len(rungs) > rung]
        return judge(self.settings, self.score(row), reached)

    def _shown(self, row: Row) -> str:
        return f"{self.settings.metric} {row.get(self.settings.metric, math.nan):.3f}"

    def _count_time(self, trial: Trial) -> None:
        if trial.running_since is not None:
            now = self.clock()
            trial.seconds += max(0.0, now - trial.running_since)
            trial.running_since = now

    def _close(self, trial: Trial, state: records.State, reason: str) -> None:
        self._count_time(trial)
        trial.state, trial.reason, trial.running_since = state, reason, None
        trial.save()


def grid_size_of(config: Config) -> int | None:
    """Return the largest number of trials that a space can give; None if there is no bound.

    The config's own configuration counts, even if it is not in the space.
    """
    space = config.tune.space
    default = own_choices(config)
    if config.tune.algorithm == "grid":
        combinations = list(grid(space))
        return len(combinations) + (default not in combinations)
    size = grid_size(space)
    return None if size is None else size + (not fits(space, default))


def _seconds_of(output: Path) -> float:
    try:
        return float(read_json(output / CLOCK)["seconds"])
    except (OSError, ValueError, KeyError):
        return 0.0
