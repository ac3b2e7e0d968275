import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mint_ray.errors import ConfigError
from mint_ray.tracking import NullTracker, Tracker, create_tracker
from mint_ray.tracking import mlflow_store as store
from mint_ray.tracking.queue import RecordQueue
from mint_ray.tracking.records import Record
from mint_ray.tracking.tracker import QUEUE_FILE, TrackedRun, tracking_uri
from tests.tracking.conftest import runs_of

CANARY = "ptosis-canary-7731"
KEY = "train-1a2b3c4d"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """The store held by another program."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.close()


def test_a_run_holds_what_was_recorded(
    tracker: Tracker, folder: Path, client: Any, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    report.write_text("<html></html>")
    with tracker.run("train", KEY, folder, {"preferences": "preferences-9f"}) as run:
        run.log_params({"training": {"learning_rate": 1e-3}, "seed": 0})
        run.log_metrics({"loss": 2.0}, step=1)
        run.log_metrics({"loss": 1.0}, step=2)
        run.log_artifact(report)
        run.log_artifact(folder)
        run.set_tags({"rows": 3})
    (found,) = runs_of(client)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"training.learning_rate": "0.001", "seed": "0"}
    assert found.data.tags["input.preferences"] == "preferences-9f"
    assert found.data.tags["key"] == KEY
    assert found.data.tags["rows"] == "3"
    history = client.get_metric_history(found.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(1, 2.0), (2, 1.0)]
    names = {item.path for item in client.list_artifacts(found.info.run_id)}
    assert names == {"report.html", KEY}
    assert not RecordQueue(folder / QUEUE_FILE).waits()


def test_a_restart_continues_the_same_run(tracker: Tracker, folder: Path, client: Any) -> None:
    def fail() -> None:
        with tracker.run("train", KEY, folder) as run:
            run.log_params({"resources": {"train_workers": 1}})
            run.log_metrics({"loss": 2.0}, step=1)
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        fail()
    assert runs_of(client)[0].info.status == "FAILED"
    assert runs_of(client)[0].data.tags["error"] == "ValueError"
    with tracker.run("train", KEY, folder) as run:
        assert runs_of(client)[0].info.status == "RUNNING"
        run.log_params({"resources": {"train_workers": 2}})
        run.log_metrics({"loss": 1.0}, step=2)
    (found,) = runs_of(client)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"resources.train_workers": "1"}
    assert found.data.tags["restart.resources.train_workers"] == "2"
    assert len(client.get_metric_history(found.info.run_id, "loss")) == 2


def test_an_interruption_is_told_apart(tracker: Tracker, folder: Path, client: Any) -> None:
    with pytest.raises(KeyboardInterrupt), tracker.run("train", KEY, folder):
        raise KeyboardInterrupt
    assert runs_of(client)[0].info.status == "KILLED"


def test_a_locked_store_delays_records_but_not_the_work(
    tracker: Tracker,
    folder: Path,
    client: Any,
    store_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(store, "LOCK_PATIENCE", 0.05)
    with tracker.run("train", KEY, folder) as run:
        with locked(store_file):
            for step in range(50):
                run.log_metrics({"loss": 1.0 / (step + 1)}, step=step)
        assert caplog.text.count("store not available") == 1
    (found,) = runs_of(client)
    assert found.info.status == "FINISHED"
    assert len(client.get_metric_history(found.info.run_id, "loss")) == 50


def test_what_a_whole_run_could_not_write_is_written_later(
    tracker: Tracker,
    folder: Path,
    client: Any,
    store_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(store, "LOCK_PATIENCE", 0.05)
    with locked(store_file), tracker.run("train", KEY, folder) as run:
        run.log_metrics({"loss": 1.0}, step=1)
    assert "3 records wait" in caplog.text
    assert runs_of(client) == []
    assert tracker.flush("train", KEY, folder) == 0
    (found,) = runs_of(client)
    assert found.info.status == "FINISHED"
    assert found.data.metrics == {"loss": 1.0}


def test_an_impossible_store_never_raises(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    tracker = Tracker(f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}", "trials")
    with tracker.run("train", KEY, folder) as run:
        run.log_metrics({"loss": 1.0})
    assert tracker.flush("train", KEY, folder) == 3


def test_a_folder_that_cannot_be_written_never_raises(tracker: Tracker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with tracker.run("train", KEY, tmp_path / "file" / "step") as run:
        run.log_metrics({"loss": 1.0})


def test_pauses_grow_and_end_with_success(folder: Path) -> None:
    class Failing:
        calls = 0
        broken = True

        def write(self, record: Record) -> None:
            self.calls += 1
            if self.broken:
                raise ConnectionError

    failing, now = Failing(), [0.0]
    run = TrackedRun(failing, RecordQueue(folder / QUEUE_FILE), clock=lambda: now[0])  # type: ignore[arg-type]
    for second in range(100):
        now[0] = float(second)
        run.log_metrics({"loss": 1.0}, step=second)
    assert failing.calls == 3  # at 0, after 15 and after 30 more seconds
    failing.broken = False
    now[0] = 200.0
    run.log_metrics({"loss": 1.0}, step=100)
    assert failing.calls == 3 + 101
    run.log_metrics({"loss": 1.0}, step=101)
    assert failing.calls == 3 + 102


def test_no_text_of_an_error_is_kept(
    tracker: Tracker, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        with tracker.run("train", KEY, folder) as run:
            with pytest.raises(TypeError):
                run.log_metrics({"note": CANARY})
            raise ValueError(f"the note says {CANARY}")

    caplog.set_level(logging.DEBUG)
    with pytest.raises(ValueError, match=CANARY):
        fail()
    written = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert len(written) >= 3
    assert not any(CANARY.encode() in content for content in written)
    assert CANARY not in caplog.text


def test_nothing_is_recorded_where_tracking_is_off(folder: Path, tmp_path: Path) -> None:
    tracker = create_tracker(False, None, "trials", tmp_path)
    assert isinstance(tracker, NullTracker)
    with tracker.run("train", KEY, folder) as run:
        run.log_metrics({"loss": 1.0})
        run.log_params({"a": 1})
        run.log_artifact(folder)
        run.set_tags({"a": 1})
    assert tracker.flush("train", KEY, folder) == 0
    assert list(folder.iterdir()) == []


def test_the_default_store_is_sqlite_in_the_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = create_tracker(True, None, "trials", tmp_path)
    assert tracker == Tracker(f"sqlite:///{tmp_path / 'mlflow.db'}", "trials")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example:5000")
    assert tracking_uri(None, tmp_path) == "http://tracking.example:5000"
    assert tracking_uri("sqlite:////data/own.db", tmp_path) == "sqlite:////data/own.db"
    server = create_tracker(True, "http://127.0.0.1:5000", "trials", tmp_path)
    assert isinstance(server, Tracker)


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "mlruns", "s3://bucket"])
def test_a_store_that_mlflow_refuses_is_a_config_error(uri: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a database or server URI"):
        create_tracker(True, uri, "trials", tmp_path)


def test_mlflow_is_not_imported_until_it_is_needed() -> None:
    script = "import sys, mint_ray.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
