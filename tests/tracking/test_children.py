"""Runs of trials below their campaign's: on SQLite, and on a server that is away for a while."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from mint_ray.tracking import Tracker
from mint_ray.tracking.mlflow_store import RunStore
from mint_ray.tracking.queue import RecordQueue
from mint_ray.tracking.tracker import CHILDREN, QUEUE_FILE
from tests.tracking.conftest import runs_of
from tests.tracking.servers import free_port, server

KEY = "tune-1a2b3c4d"


def trial_folder(step: Path, number: int) -> Path:
    folder = step / CHILDREN / f"{number:03d}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def record(tracker: Tracker, step: Path, numbers: range, first: int = 1) -> None:
    """One session of a campaign: two steps of every trial."""
    with tracker.run("tune", KEY, step) as run:
        for number in numbers:
            child = run.child(trial_folder(step, number))
            child.set_status("RUNNING")
            child.log_params({"training": {"orpo_lambda": number / 10}})
            for at in (first, first + 1):
                child.log_metrics({"loss": 1 / at}, step=at)
            child.set_status("FINISHED")


def assert_each_once(client: MlflowClient, count: int, steps: list[int]) -> None:
    runs = runs_of(client)
    (parent,) = [run for run in runs if run.info.run_name == KEY]
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    names = sorted(run.info.run_name for run in children)
    assert names == [f"{KEY}/{number:03d}" for number in range(count)]
    for run in children:
        assert run.info.status == "FINISHED"
        assert run.data.params["training.orpo_lambda"] == str(int(run.data.tags["trial"]) / 10)
        history = client.get_metric_history(run.info.run_id, "loss")
        assert sorted(point.step for point in history) == steps


def test_a_restart_continues_the_runs_of_its_trials(
    tracker: Tracker, client: MlflowClient, tmp_path: Path
) -> None:
    record(tracker, tmp_path / KEY, range(2))
    record(tracker, tmp_path / KEY, range(3), first=3)
    runs = [run for run in runs_of(client) if run.data.tags.get("trial") == "002"]
    assert len(runs) == 1
    assert len(runs_of(client)) == 4
    names = {
        run.data.tags["mlflow.parentRunId"] for run in runs_of(client) if "trial" in run.data.tags
    }
    assert len(names) == 1


def test_a_store_that_is_away_is_asked_once_for_all_trials(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, asked = tmp_path / KEY, []

    def away(self: RunStore, record: object) -> None:
        asked.append(record)
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "write", away)
        record(tracker, step, range(5))
        asked.clear()
        waiting = tracker.flush("tune", KEY, step)
        assert len(asked) == 6  # what is refused at once may be for one run alone
        asked.clear()
        patch.setattr("mint_ray.tracking.tracker._AWAY_SECONDS", 0.0)
        assert tracker.flush("tune", KEY, step) == waiting > 6
        assert len(asked) == 1
    assert tracker.flush("tune", KEY, step) == 0


def test_a_server_that_is_away_gets_everything_when_it_is_back(
    store_file: Path, tmp_path: Path
) -> None:
    port, step = free_port(), tmp_path / KEY
    tracker = Tracker(f"http://127.0.0.1:{port}", "trials")
    record(tracker, step, range(2))  # nobody listens: the work goes on
    assert all(RecordQueue(trial_folder(step, n) / QUEUE_FILE).waits() for n in range(2))
    with server(store_file, port):
        record(tracker, step, range(2), first=3)
        client = MlflowClient(f"http://127.0.0.1:{port}")
        assert_each_once(client, 2, [1, 2, 3, 4])
        assert not any(RecordQueue(trial_folder(step, n) / QUEUE_FILE).waits() for n in range(2))
        assert tracker.flush("tune", KEY, step) == 0
