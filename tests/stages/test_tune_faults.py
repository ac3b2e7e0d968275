"""A campaign that was killed twice ends with each of its trials once."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from mint_ray.steps import StepOutcome
from mint_ray.tuning.records import Trial, read_trials
from tests.stages.test_train_faults import train_workers, wait_for
from tests.stages.tune_driver import KEY, TRIALS, run_stage, write_inputs
from tests.tracking.conftest import empty_store  # noqa: F401

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("ray_cluster")]


@dataclass(frozen=True)
class Ended:
    """A finished campaign, and what it was at each kill."""

    out: Path
    outcome: StepOutcome
    said: str
    runs: list[Any]
    client: Any
    before: list[list[Trial]]

    @property
    def trials(self) -> list[Trial]:
        return read_trials(self.out)


@pytest.fixture(scope="module")
def campaign(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    from mlflow import MlflowClient

    root = tmp_path_factory.mktemp("campaign")
    (root / "base").symlink_to(base_folder)
    write_inputs(root)
    out, uri = root / "out", f"sqlite:///{root}/mlflow.db"
    before = []
    for moment in (checkpointed, second_finished):
        kill_driver_when(lambda moment=moment: moment(out), root, out, uri)
        before.append(read_trials(out))
    outcome, said = run_stage(root, out, uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("campaigns")
    runs = list(client.search_runs([experiment.experiment_id]))
    return Ended(out, outcome, said, runs, client, before)


def checkpointed(out: Path) -> bool:
    """The first trial has steps behind a checkpoint."""
    return any(trial.spent() > 4 for trial in read_trials(out))


def second_finished(out: Path) -> bool:
    """Some trials are over and another one is under way."""
    trials = read_trials(out)
    over = [trial for trial in trials if trial.state != "running"]
    return bool(over) and any(t.state == "running" and t.spent() > 0 for t in trials)


def kill_driver_when(moment: Callable[[], bool], root: Path, out: Path, uri: str) -> None:
    command = [sys.executable, "-m", "tests.stages.tune_driver", str(root), str(out), uri]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    address = ray.get_runtime_context().gcs_address
    process = subprocess.Popen(command, env={**os.environ, "RAY_ADDRESS": address}, **silent)
    wait_for(moment, pause=0.05)
    workers = train_workers()
    process.kill()
    process.wait()
    assert psutil.wait_procs(workers, timeout=30)[1] == []


def test_every_trial_is_there_once(campaign: Ended) -> None:
    children = [run for run in campaign.runs if "mlflow.parentRunId" in run.data.tags]
    (parent,) = [run for run in campaign.runs if run not in children]
    assert parent.info.run_name == KEY
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    names = sorted(run.data.tags["trial"] for run in children)
    assert names == [f"{number:03d}" for number in range(TRIALS)]
    assert {run.info.status for run in campaign.runs} == {"FINISHED"}
    assert [trial.number for trial in campaign.trials] == list(range(TRIALS))
