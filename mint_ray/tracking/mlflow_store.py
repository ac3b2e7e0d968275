"""MLflow store behind a run: connection, search or creation of the run, writing of records.

Everything here may raise; `tracker` then keeps the records for later. MLflow takes seconds to
import, so it is imported when first needed. It is used through its client only: without global
state and without autologging.
"""

import fcntl
import json
import logging
import os
import re
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

from mint_ray.common.files import write_text
from mint_ray.tracking.records import Record, cut

logger = logging.getLogger(__name__)

LOCK_PATIENCE = 2.0  # seconds to wait for a locked SQLite file before giving up for now
_TOKEN_TAG = "mint_ray_token"
_PARENT_TAG = "mlflow.parentRunId"
_SQLITE = "sqlite:///"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # An absent server must not delay training: the queue keeps the records that it missed.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def shown_uri(uri: str) -> str:
    """Return a URI for people, in which user, token and password are hidden."""
    without_user = re.sub(r"://[^?#]*@", "://***@", uri)
    return re.sub(r"(?i)((?:password|passwd|pwd|token|secret|key)=)[^&#;]*", r"\1***", without_user)


class RunStore:
    """One MLflow run in one store.

    Args:
        uri: tracking URI.
        experiment: name of the experiment, which is created if absent.
        state: JSON file that remembers the run, so that a restart continues it.
        name: run name.
        tags: tags of a new run.
        parent: state file of the run that this run is shown below. As long as the parent is not
            in the store, this run is not created: its records wait.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        state: Path,
        name: str,
        tags: Mapping[str, str],
        parent: Path | None = None,
    ) -> None:
        self.uri = uri
        self.experiment = experiment
        self.state = state
        self.name = name
        self.tags = dict(tags)
        self.parent = parent

    def write(self, record: Record) -> None:
        """Write one record. A record that the store will never take is dropped and logged."""
        self._check_sqlite()
        run_id = self.run_id
        try:
            getattr(self, f"_write_{record['kind']}")(run_id, record)
        except Exception as error:
            if getattr(error, "error_code", "") != "INVALID_PARAMETER_VALUE":
                raise
            logger.warning("[Tracking] the store refused a record of kind %s", record["kind"])

    @cached_property
    def run_id(self) -> str:
        """The run's id; finds or creates the run. Call it from one process at a time."""
        remembered = _read_state(self.state)
        if remembered.get("run_id") and self._is_alive(remembered["run_id"]):
            return str(remembered["run_id"])
        # The token goes to disk before the run is created: a crash in between leaves a run
        # that its token finds again, not a second one.
        token = remembered.get("token") if not remembered.get("run_id") else None
        if token is None:
            token = uuid.uuid4().hex
            self._write_state({"token": token})
        run_id = self._find_run(token) or self._create_run(token)
        self._write_state({"token": token, "run_id": run_id})
        return run_id

    @cached_property
    def _client(self) -> Any:
        return connect_client(self.uri)

    @cached_property
    def _experiment_id(self) -> str:
        return experiment_id(self._client, self.uri, self.experiment)

    def _is_alive(self, run_id: str) -> bool:
        try:
            return bool(self._client.get_run(run_id).info.lifecycle_stage == "active")
        except Exception as error:
            if getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False

    def _find_run(self, token: str) -> str | None:
        runs = self._client.search_runs(
            [self._experiment_id], filter_string=f"tags.{_TOKEN_TAG} = '{token}'", max_results=1
        )
        return str(runs[0].info.run_id) if runs else None

    def _create_run(self, token: str) -> str:
        tags = self.tags | {_TOKEN_TAG: token}
        if self.parent is not None:
            # KeyError as long as the parent is not in the store, so that the record waits.
            tags[_PARENT_TAG] = _read_state(self.parent)["run_id"]
        run = self._client.create_run(self._experiment_id, run_name=self.name, tags=tags)
        return str(run.info.run_id)

    def _write_params(self, run_id: str, record: Record) -> None:
        from mlflow.entities import Param, RunTag

        # A parameter cannot be changed in MLflow. If a restart changed one (where work runs, never
        # what it computes), the new value becomes a tag.
        known = self._client.get_run(run_id).data.params
        new = {k: v for k, v in record["values"].items() if k not in known}
        changed = {k: v for k, v in record["values"].items() if known.get(k, v) != v}
        self._client.log_batch(
            run_id,
            params=[Param(key, value) for key, value in new.items()],
            tags=[RunTag(f"restart.{k}"[:250], cut(v, 5000)) for k, v in changed.items()],
        )

    def _write_tags(self, run_id: str, record: Record) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(run_id, tags=[RunTag(k, v) for k, v in record["values"].items()])

    def _write_metrics(self, run_id: str, record: Record) -> None:
        from mlflow.entities import Metric

        self._client.log_batch(
            run_id,
            metrics=[
                Metric(key, value, record["time"], record["step"])
                for key, value in record["values"].items()
            ],
        )

    def _write_artifact(self, run_id: str, record: Record) -> None:
        path = Path(record["path"])
        if path.is_dir():
            self._client.log_artifacts(run_id, str(path), artifact_path=path.name)
        elif path.is_file():
            self._client.log_artifact(run_id, str(path))
        else:
            logger.warning("[Tracking] an artifact is gone before it could be recorded")

    def _write_status(self, run_id: str, record: Record) -> None:
        if record["status"] == "RUNNING":
            self._client.update_run(run_id, status="RUNNING")
        else:
            self._client.set_terminated(run_id, record["status"], end_time=record["time"])

    def _check_sqlite(self) -> None:
        """Raise at once if the file is locked or cannot be opened; MLflow would retry for minutes.

        Raises:
            sqlite3.OperationalError: the file is locked or cannot be opened for writing.
        """
        file = sqlite_file(self.uri)
        if file is None:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(file, timeout=LOCK_PATIENCE, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    def _write_state(self, state: Mapping[str, str]) -> None:
        write_text(self.state, json.dumps(dict(state)) + "\n")


def connect_client(uri: str) -> Any:
    """Return an `MlflowClient` of a store, whose registry is in the same store."""
    os.environ.update({k: v for k, v in _ENVIRONMENT.items() if k not in os.environ})
    from mlflow import MlflowClient

    for name, level in (("mlflow", logging.ERROR), ("mlflow.store", logging.CRITICAL)):
        logging.getLogger(name).setLevel(level)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    # Creating the tables of a new SQLite file is not safe in two processes at once.
    with _sqlite_lock(uri):
        return MlflowClient(uri, registry_uri=uri)


def experiment_id(client: Any, uri: str, name: str) -> str:
    """Return the id of an experiment, which is created if absent.

    With a SQLite file, artifacts are in the folder `mlartifacts` beside it.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    file = sqlite_file(uri)
    root = (file.parent / "mlartifacts").resolve().as_uri() if file else None
    try:
        return str(client.create_experiment(name, artifact_location=root))
    except Exception as error:
        if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
            raise
        return str(client.get_experiment_by_name(name).experiment_id)


@contextmanager
def _sqlite_lock(uri: str) -> Iterator[None]:
    file = sqlite_file(uri)
    lock = file.with_name(f"{file.name}.lock").open("w") if file else nullcontext()
    with lock as stream:
        if stream is not None:
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _read_state(file: Path) -> dict[str, Any]:
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a `sqlite:///` URI; None for other stores."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None
