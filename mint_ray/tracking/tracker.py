"""Recording of runs in MLflow, whose failures never stop a run.

`create_tracker` returns a `Tracker`, or a `NullTracker` if tracking is off; callers use both
alike. Failures of the store are logged, and records that could not be written wait in the step's
folder for the next call, the end of the run, or the next start. Only numbers, ids and settings are
recorded, never the text of a note.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from mint_ray.errors import ConfigError
from mint_ray.tracking.mlflow_store import RunStore, shown_uri
from mint_ray.tracking.queue import RecordQueue
from mint_ray.tracking.records import (
    Record,
    artifact_record,
    metrics_records,
    params_records,
    status_record,
    tags_records,
)

logger = logging.getLogger(__name__)

STATE_FILE = "tracking.json"
QUEUE_FILE = "tracking-queue.jsonl"
CHILDREN = "trials"
"""Folder in a step's folder that holds the folders of its child runs."""

_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")
_AWAY_SECONDS = 1.0  # a failed attempt that took so long means that the store is away
_FIRST_PAUSE = 15.0  # seconds without another attempt after a failure; doubles each time
_LONGEST_PAUSE = 300.0


class Run(Protocol):
    """Run that a stage records. No method raises because of the store."""

    def log_params(self, settings: Mapping[str, Any]) -> None:
        """Record settings; nested ones get dotted names."""

    def log_metrics(
        self, metrics: Mapping[str, Any], step: int = 0, at: float | None = None
    ) -> None:
        """Record numbers at a step; raises TypeError for text.

        `at` is when they were measured (seconds of the epoch, None for now). The same numbers at
        the same step and time are one record, however often they are logged.
        """

    def log_artifact(self, path: Path) -> None:
        """Copy a file or folder to the artifact store."""

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set or replace tags."""

    def child(self, folder: Path) -> "ChildRun":
        """Return the run of a trial, shown below this one; the same folder continues the same run.

        `folder` is in the folder `CHILDREN` of this run's step.
        """


class ChildRun(Run, Protocol):
    """A run whose status the caller sets."""

    def set_status(self, status: str) -> None:
        """Set the status: RUNNING, FINISHED, FAILED or KILLED."""


class NullRun:
    """A run that records nothing."""

    def log_params(self, settings: Mapping[str, Any]) -> None:
        """Do nothing."""

    def log_metrics(
        self, metrics: Mapping[str, Any], step: int = 0, at: float | None = None
    ) -> None:
        """Do nothing."""

    def log_artifact(self, path: Path) -> None:
        """Do nothing."""

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Do nothing."""

    def child(self, folder: Path) -> "NullRun":
        """Return a run that records nothing either."""
        return NullRun()

    def set_status(self, status: str) -> None:
        """Do nothing."""


class TrackedRun:
    """A run that queues every record, then sends the queue unless the store failed just now."""

    def __init__(
        self,
        store: RunStore,
        queue: RecordQueue,
        clock: Callable[[], float] = time.monotonic,
        open_child: Callable[[Path], "TrackedRun"] | None = None,
    ) -> None:
        self._store = store
        self._open_child = open_child
        self._queue = queue
        self._clock = clock
        self._pause = 0.0
        self._not_before = -float("inf")
        self._dropped = 0

    def log_params(self, settings: Mapping[str, Any]) -> None:
        """Record settings; a value that a restart changed becomes a tag `restart.<name>`."""
        self._record(params_records(settings))

    def log_metrics(
        self, metrics: Mapping[str, Any], step: int = 0, at: float | None = None
    ) -> None:
        """Record numbers at a step; see `Run.log_metrics`."""
        self._record(metrics_records(metrics, step, at))

    def log_artifact(self, path: Path) -> None:
        """Copy a file or folder to the artifact store."""
        self._record([artifact_record(path)])

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set or replace tags."""
        self._record(tags_records(tags))

    def child(self, folder: Path) -> "TrackedRun":
        """Return the run of a trial; see `Run.child`. Runs of trials have no children."""
        if self._open_child is None:
            raise TypeError("a run of a trial has no children")
        return self._open_child(folder)

    def set_status(self, status: str) -> None:
        """Set the status: RUNNING, FINISHED, FAILED or KILLED."""
        self._record([status_record(status)])

    def flush(self) -> int:
        """Try to send now, whatever failed before; return how many records still wait."""
        self._not_before = -float("inf")
        self._send()
        waiting = self.waiting()
        if waiting:
            logger.warning(
                "[Tracking] %d records wait in %s until the store is back",
                waiting,
                self._queue.path,
            )
        return waiting

    def waiting(self) -> int:
        """Return how many records wait."""
        try:
            return len(self._queue)
        except OSError:
            return 0

    def _record(self, records: list[Record]) -> None:
        try:
            kept = [self._queue.append(record) for record in records]
        except OSError as error:  # a full disk, a folder gone: the work itself comes first
            logger.warning("[Tracking] cannot queue: %s", type(error).__name__)
            return
        if not all(kept):
            self._dropped += kept.count(False)
            logger.warning("[Tracking] queue full, %d records dropped so far", self._dropped)
        self._send()

    def _send(self) -> None:
        if self._clock() < self._not_before:
            return
        try:
            self._queue.drain(self._store.write)
        # Database drivers, HTTP and MLflow may raise any error.
        except Exception as error:
            self._pause = min(max(_FIRST_PAUSE, 2 * self._pause), _LONGEST_PAUSE)
            self._not_before = self._clock() + self._pause
            # The type only: a driver's message repeats the values that it was given.
            logger.warning(
                "[Tracking] store not available (%s), next attempt in %.0f s",
                type(error).__name__,
                self._pause,
            )
        else:
            self._pause = 0.0


def _flush(runs: Iterable[TrackedRun]) -> int:
    """Flush the runs in turn; return how many records still wait.

    An absent server takes seconds to fail, so it is tried only once.
    """
    total, reachable = 0, True
    for run in runs:
        start = time.monotonic()
        waiting = run.flush() if reachable else run.waiting()
        reachable = reachable and (not waiting or time.monotonic() - start < _AWAY_SECONDS)
        total += waiting
    return total


@dataclass(frozen=True)
class Tracker:
    """Tracker that opens runs in one experiment of one store."""

    uri: str
    experiment: str

    @contextmanager
    def run(
        self, stage: str, key: str, folder: Path, inputs: Mapping[str, str] | None = None
    ) -> Iterator[Run]:
        """Yield the run of one step, which goes from RUNNING to FINISHED, FAILED or KILLED.

        Args:
            stage: stage name, a tag.
            key: the step's name with its hash: run name and tag.
            folder: the step's folder. It keeps the run's id, so that the same folder always
                continues the same run.
            inputs: keys of the input steps by name of the input, for the tags `input.<name>`.
        """
        run = self._open(stage, key, folder, inputs)
        run.set_status("RUNNING")
        try:
            yield run
        except BaseException as error:
            run.set_tags({"error": type(error).__name__})
            run.set_status("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        else:
            run.set_status("FINISHED")
        finally:
            _flush([run, *self._children(key, folder)])

    def flush(self, stage: str, key: str, folder: Path) -> int:
        """Send the records that an earlier run left; return how many still wait."""
        waits = RecordQueue(folder / QUEUE_FILE).waits()
        step_runs = [self._open(stage, key, folder, None)] if waits else []
        return _flush([*step_runs, *self._children(key, folder)])

    def _children(self, key: str, folder: Path) -> Iterator[TrackedRun]:
        """Yield the runs of trials with records to send.

        Flush them after their parent, whose id they need.
        """
        for child in sorted((folder / CHILDREN).glob("*")):
            if RecordQueue(child / QUEUE_FILE).waits():
                yield self._child(key, child)

    def _open(
        self, stage: str, key: str, folder: Path, inputs: Mapping[str, str] | None
    ) -> TrackedRun:
        tags = {"stage": stage, "key": key}
        tags |= {f"input.{name}": value for name, value in (inputs or {}).items()}
        store = RunStore(self.uri, self.experiment, folder / STATE_FILE, key, tags)
        children = partial(self._child, key)
        return TrackedRun(store, RecordQueue(folder / QUEUE_FILE), open_child=children)

    def _child(self, key: str, folder: Path) -> TrackedRun:
        tags = {"stage": "trial", "key": key, "trial": folder.name}
        parent = folder.parent.parent / STATE_FILE
        name = f"{key}/{folder.name}"
        store = RunStore(self.uri, self.experiment, folder / STATE_FILE, name, tags, parent)
        return TrackedRun(store, RecordQueue(folder / QUEUE_FILE))


@dataclass(frozen=True)
class NullTracker:
    """Tracker that opens runs that record nothing."""

    @contextmanager
    def run(
        self, stage: str, key: str, folder: Path, inputs: Mapping[str, str] | None = None
    ) -> Iterator[Run]:
        """Yield a run that records nothing."""
        yield NullRun()

    def flush(self, stage: str, key: str, folder: Path) -> int:
        """Return 0, since no record ever waits."""
        return 0


def create_tracker(
    enabled: bool, uri: str | None, experiment: str, store: Path
) -> Tracker | NullTracker:
    """Return the tracker of the settings; see `tracking_uri`.

    Raises:
        ConfigError: the URI is of a kind that MLflow does not take.
    """
    if not enabled:
        return NullTracker()
    return Tracker(tracking_uri(uri, store), experiment)


def tracking_uri(uri: str | None, store: Path | str) -> str:
    """Return the tracking URI: `uri`, else `MLFLOW_TRACKING_URI`, else a SQLite file in `store`.

    Raises:
        ConfigError: the URI is of a kind that MLflow does not take.
    """
    named = uri or os.environ.get("MLFLOW_TRACKING_URI")
    chosen = named or f"sqlite:///{Path(store).resolve() / 'mlflow.db'}"
    if chosen.partition(":")[0].partition("+")[0] not in _SCHEMES:
        raise ConfigError(
            f"tracking.uri, or MLFLOW_TRACKING_URI: {shown_uri(chosen)}: expected a database or "
            f"server URI ({', '.join(_SCHEMES)}), for example sqlite:///runs/mlflow.db; "
            "MLflow no longer takes file stores"
        )
    return chosen
