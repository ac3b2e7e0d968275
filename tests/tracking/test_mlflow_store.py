import json
from pathlib import Path
from typing import Any

import pytest

from mint_ray.tracking.mlflow_store import RunStore, sqlite_file
from mint_ray.tracking.records import status_record, tags_records
from tests.tracking.conftest import runs_of


@pytest.fixture
def state(folder: Path) -> Path:
    return folder / "tracking.json"


def open_store(file: Path, state: Path) -> RunStore:
    return RunStore(f"sqlite:///{file}", "trials", state, "train-1a2b3c4d", {"stage": "train"})


def test_the_run_is_remembered(store_file: Path, state: Path, client: Any) -> None:
    run_id = open_store(store_file, state).run_id
    assert open_store(store_file, state).run_id == run_id
    assert len(runs_of(client)) == 1
    assert client.get_run(run_id).info.run_name == "train-1a2b3c4d"
    assert client.get_run(run_id).data.tags["stage"] == "train"


def test_a_crash_before_remembering_leaves_one_run(
    store_file: Path, state: Path, client: Any
) -> None:
    run_id = open_store(store_file, state).run_id
    state.write_text(json.dumps({"token": json.loads(state.read_text())["token"]}))
    assert open_store(store_file, state).run_id == run_id
    assert len(runs_of(client)) == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"run_id": "0123456789abcdef"}'])
def test_a_lost_or_unknown_run_is_begun_anew(
    store_file: Path, state: Path, client: Any, content: str
) -> None:
    state.write_text(content)
    run_id = open_store(store_file, state).run_id
    assert [run.info.run_id for run in runs_of(client)] == [run_id]


def test_a_deleted_run_is_begun_anew(store_file: Path, state: Path, client: Any) -> None:
    first = open_store(store_file, state).run_id
    client.delete_run(first)
    assert open_store(store_file, state).run_id != first


def test_artifacts_lie_beside_the_file(store_file: Path, state: Path, client: Any) -> None:
    open_store(store_file, state).write(status_record("RUNNING"))
    location = client.get_experiment_by_name("trials").artifact_location
    assert location == (store_file.parent / "mlartifacts").as_uri()


def test_a_record_that_is_never_taken_is_dropped(
    store_file: Path, state: Path, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(store_file, state)
    store.write({"kind": "tags", "values": {"": "secret words"}})
    store.write(tags_records({"later": "yes"})[0])
    assert client.get_run(store.run_id).data.tags["later"] == "yes"
    assert "refused a record of kind tags" in caplog.text
    assert "secret" not in caplog.text


def test_sqlite_uris_are_recognised() -> None:
    assert sqlite_file("sqlite:////data/mlflow.db") == Path("/data/mlflow.db")
    assert sqlite_file("http://127.0.0.1:5000") is None
