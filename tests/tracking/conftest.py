"""An MLflow store on SQLite, created once and copied for each test."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from mint_ray.tracking import Tracker

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with MLflow's tables; creating them takes seconds."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}")
    return file


@pytest.fixture
def store_file(empty_store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(empty_store, tmp_path / "mlflow.db"))


@pytest.fixture
def tracker(store_file: Path) -> Tracker:
    return Tracker(f"sqlite:///{store_file}", "trials")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A step's folder."""
    path = tmp_path / "train-1a2b3c4d"
    path.mkdir()
    return path


@pytest.fixture
def client(store_file: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{store_file}")


def runs_of(client: Any) -> list[Any]:
    experiment = client.get_experiment_by_name("trials")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []
