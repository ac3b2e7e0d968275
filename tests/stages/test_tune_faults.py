"""A campaign on two nodes, whose driver is killed and which then loses a node."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from ray.cluster_utils import Cluster
from ray.util import get_node_ip_address

from mint_ray.evaluation.metrics.validation import validated_file
from mint_ray.stages.workers.training import read_summary
from mint_ray.students.student import load_student
from mint_ray.students.student_folder import read_info
from mint_ray.tuning.trials import Trial, read_trials
from tests.stages.test_train_faults import INTERVAL, stopped, train_workers
from tests.stages.tune_driver import CHECKPOINT_STEPS, KEY, STEPS, TRIALS, write_inputs

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

PATIENCE = 240  # seconds
INTERRUPTIONS = 2
SLOW = {INTERVAL: "1"}
"""Environment of drivers whose trials wait a second at every checkpoint, long enough to be seen
there. The trials have it from their driver, whatever the nodes have."""


@dataclass(frozen=True)
class Ended:
    """The campaign when it was complete, and what the last session said."""

    out: Path
    said: str
    runs: list[Any]
    client: Any

    @property
    def trials(self) -> list[Trial]:
        return read_trials(self.out)


@pytest.fixture(scope="module")
def campaign(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Kill the driver of a campaign on one node; remove a node of two while another ends it.

    What is cut off is a single trial, so that nothing depends on how far apart two trials start.
    """
    root = tmp_path_factory.mktemp("campaign")
    (root / "base").symlink_to(base_folder)
    write_inputs(root)
    out, uri = root / "out", f"sqlite:///{root}/mlflow.db"
    cluster = start_cluster()
    nodes = [cluster.add_node(num_cpus=1)]
    try:
        with driver(cluster, root, out, uri) as first:
            wait_for(lambda: is_under_way(read_trials(out)), first)
            with stopped(train_workers()):
                first.kill()
                first.wait()
        nodes.append(cluster.add_node(num_cpus=1))
        with driver(cluster, root, out, uri) as second:
            wait_for(lambda: "resumed" in notes(read_trials(out)[0]), second)
            resumed = worker_of(read_trials(out)[0])
            with stopped([resumed]):
                cluster.remove_node(node_of(resumed, nodes), allow_graceful=False)
            said, _ = second.communicate(timeout=2 * PATIENCE)
        assert second.returncode == 0, said[-2000:]
    finally:
        cluster.shutdown()
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("campaigns")
    return Ended(out, said, list(client.search_runs([experiment.experiment_id])), client)


def start_cluster() -> Cluster:
    """Start a cluster of a head without CPUs, with a dashboard.

    Through the dashboard Ray Train's cleaner learns that a trial's controller has died, and gives
    back the place of its workers. It finds the dashboard by `RAY_ADDRESS`, which it has from the
    head; else it would not know this Ray from the tests' own.
    """
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    before = os.environ["RAY_ADDRESS"]
    os.environ["RAY_ADDRESS"] = f"{get_node_ip_address()}:{port}"
    try:
        head = {"num_cpus": 0, "include_dashboard": True, "gcs_server_port": port}
        return Cluster(initialize_head=True, head_node_args=head)
    finally:
        os.environ["RAY_ADDRESS"] = before


@contextmanager
def driver(cluster: Cluster, root: Path, out: Path, uri: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.stages.tune_driver", str(root), str(out), uri]
    own = {**os.environ, "RAY_ADDRESS": cluster.address, **SLOW}
    process = subprocess.Popen(
        command, env=own, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, "the driver ended by itself"
        assert time.monotonic() < deadline, "nothing came of it in time"
        time.sleep(0.05)


def is_under_way(trials: list[Trial]) -> bool:
    """Return whether the one trial that there is room for has a checkpoint.

    A driver that dies while Ray reserves a place for its workers leaves the place behind, and
    nothing in Ray gives it back.
    """
    return [trial.spent() > CHECKPOINT_STEPS for trial in trials] == [True]


def worker_of(trial: Trial) -> psutil.Process:
    """Return the worker that has the trial's log open."""
    (worker,) = [
        process
        for process in train_workers()
        if log_of(trial) in {Path(file.path) for file in process.open_files()}
    ]
    return worker


def node_of(worker: psutil.Process, nodes: list[Any]) -> Any:
    """Return the node that started the worker."""
    above = {process.pid for process in worker.parents()}
    (node,) = [node for node in nodes if node.all_processes["raylet"][0].process.pid in above]
    return node


def log_of(trial: Trial) -> Path:
    return trial.folder / "worker.log"


def notes(trial: Trial) -> str:
    return log_of(trial).read_text() if log_of(trial).exists() else ""


def test_every_trial_is_in_mlflow_once_below_its_campaign(campaign: Ended) -> None:
    children = [run for run in campaign.runs if "mlflow.parentRunId" in run.data.tags]
    (parent,) = [run for run in campaign.runs if run not in children]
    assert parent.info.run_name == KEY
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    names = sorted(run.data.tags["trial"] for run in children)
    assert names == [f"{number:03d}" for number in range(TRIALS)]
    assert {run.info.status for run in campaign.runs} == {"FINISHED"}
    history = campaign.client.get_metric_history(
        parent.info.run_id, "system/cpu_utilization_percentage"
    )
    assert history


def test_a_trials_run_has_its_settings_and_every_step_once(campaign: Ended) -> None:
    for run in campaign.runs:
        if "trial" not in run.data.tags:
            continue
        trial = campaign.trials[int(run.data.tags["trial"])]
        params, tags = run.data.params, run.data.tags
        assert params["chosen.training.orpo_lambda"] == str(trial.choices["training.orpo_lambda"])
        assert params["training.orpo_lambda"] == params["chosen.training.orpo_lambda"]
        assert tags["state"] == trial.state
        steps = [m.step for m in campaign.client.get_metric_history(run.info.run_id, "loss")]
        assert steps == [row["step"] for row in trial.steps()]
        assert run.data.metrics["trial/mrr"] == trial.rungs()[-1]["validation/mrr"]


def test_trials_end_as_decided_and_lose_no_more_than_since_their_checkpoint(
    campaign: Ended,
) -> None:
    trials = campaign.trials
    assert [trial.number for trial in trials] == list(range(TRIALS))
    assert {trial.state for trial in trials} <= {"finished", "stopped"}
    assert trials[0].state == "finished"
    for trial in trials:
        repeated = trial.spent() - len(trial.steps())
        assert repeated <= INTERRUPTIONS * CHECKPOINT_STEPS
        assert len(trial.steps()) == STEPS or trial.state == "stopped"
    assert any("resumed at step" in notes(trial) for trial in trials)
    assert any(trial.attempts > 1 for trial in trials)
    assert "[Resume]" in campaign.said


def test_the_winner_lies_as_a_train_steps_output(campaign: Ended) -> None:
    out = campaign.out
    finished = [trial for trial in campaign.trials if trial.state == "finished"]
    best = max(finished, key=lambda trial: trial.rungs()[-1]["validation/mrr"])
    for name in ("adapter_model.safetensors", "student.json", "catalogue.parquet"):
        assert (out / name).read_bytes() == (best.folder / name).read_bytes()
    assert read_info(out).lineage["trial"] == best.name
    assert load_student(out, "cpu").catalogue == out / "catalogue.parquet"
    assert read_summary(out).steps == STEPS
    assert pq.read_table(validated_file(out, STEPS)).num_rows == 12


def test_table_and_page_are_there_and_rays_own_files_are_gone(campaign: Ended) -> None:
    table = pq.read_table(campaign.out / "trials.parquet")
    assert table["trial"].to_pylist() == list(range(TRIALS))
    page = (campaign.out / "report.html").read_text()
    assert "Parallel coordinates" in page
    assert "A patient with finding" not in page
    assert not (campaign.out / "ray_tune").exists()
    assert not list(campaign.out.glob("trials/*/ray_train"))
