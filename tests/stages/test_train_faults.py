"""A killed training ends as an undisturbed one does, to the last bit."""

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import ray

from mint_ray.errors import TrainingError
from mint_ray.pipeline.steps import StepOutcome
from mint_ray.runtime.metrics_stream import read_metrics_lines
from mint_ray.runtime.ray_train import RUN_NAME
from mint_ray.students.engines.checkpoints import latest_good, read_position
from tests.stages.train_driver import (
    CHECKPOINT_STEPS,
    STEPS,
    run_stage,
    write_inputs,
)
from tests.stages.undisturbed import train_without_ray
from tests.two_ranks import TwoRanks

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("ray_cluster")]

ADAPTER = "adapter_model.safetensors"
SNAPSHOT = "checkpoint_manager_snapshot.json"
SCRATCH = "mint-checkpoint-rank*"
INTERVAL = "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"


@pytest.fixture(autouse=True)
def _seed() -> None:
    seed = time.time_ns()
    print(f"seed of what is killed when: {seed}")
    random.seed(seed)


@pytest.fixture(scope="module")
def root(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    shutil.copytree(base_folder, folder / "base")
    write_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(root: Path, two_ranks: TwoRanks) -> dict[str, Path]:
    """Engine -> folder of the student that two processes trained without Ray."""
    folders = {engine: root / f"undisturbed-{engine}" for engine in ("off", "zero2")}
    two_ranks.run(train_without_ray, root, folders)
    return folders


@pytest.fixture(scope="module")
def cut_off(root: Path, ray_cluster: None) -> Path:
    """Output of a stage whose driver was killed after its second checkpoint."""
    out = root / "cut-off"
    driver = [sys.executable, "-m", "tests.stages.train_driver", str(root), str(out), "off"]
    address = ray.get_runtime_context().gcs_address
    slow = {**os.environ, "RAY_ADDRESS": address, INTERVAL: "1"}  # a second for each checkpoint
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(driver, env=slow, **silent)
    wait_for(lambda: steps_done(out) > 2 * CHECKPOINT_STEPS)
    with stopped(train_workers()):
        process.kill()
        process.wait()
    assert len(checkpoints(out)) >= 2
    assert not (out / "student.json").exists()
    return out


def test_workers_are_killed_while_they_write_and_between_write_and_commit(
    root: Path, undisturbed: dict[str, Path], tmp_path: Path
) -> None:
    left: list[set[Path]] = []

    def writes() -> bool:
        found = set(Path(tempfile.gettempdir()).glob(SCRATCH))
        if not left:  # by those that were killed
            left.append(found)
        return not found <= left[0]

    def not_committed() -> bool:
        found = checkpoints(tmp_path)
        snapshot = tmp_path / RUN_NAME / SNAPSHOT
        return len(found) > 1 and found[-1].name not in snapshot.read_text()

    with killing_workers(writes, not_committed):
        outcome = run_stage(root, tmp_path, "zero2")
    assert_same_end(outcome, tmp_path, undisturbed["zero2"])


def test_the_driver_was_killed_and_rays_own_snapshot_was_cut_off(
    root: Path, undisturbed: dict[str, Path], cut_off: Path, tmp_path: Path
) -> None:
    """Ray overwrites its snapshot in place at every checkpoint; an elastic group continues."""
    out = shutil.copytree(cut_off, tmp_path / "out")
    snapshot = out / RUN_NAME / SNAPSHOT
    snapshot.write_bytes(snapshot.read_bytes()[:100])
    outcome = run_stage(root, out, "off", workers=(1, 2))
    assert_same_end(outcome, out, undisturbed["off"])


def test_the_newest_checkpoint_is_damaged(
    root: Path,
    undisturbed: dict[str, Path],
    cut_off: Path,
    two_ranks: TwoRanks,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two workers without Ray continue from the one before, which is where they all look."""
    out = shutil.copytree(cut_off, tmp_path / "out")
    latest = latest_good(out / RUN_NAME)
    assert latest is not None
    flip_a_bit(latest / ADAPTER)
    with caplog.at_level(logging.WARNING):
        before = latest_good(out / RUN_NAME)
    assert f"{latest} is damaged: {ADAPTER}" in caplog.text
    assert before is not None
    start = read_position(before).step
    recorded = len(lines_of(out))
    two_ranks.run(train_without_ray, root, {"off": out})
    assert json.loads(lines_of(out)[recorded])["step"] == start + 1
    assert_same_files(json.loads((out / "last.json").read_text()), out, undisturbed["off"])


def assert_same_end(outcome: StepOutcome, out: Path, undisturbed: Path) -> None:
    """Same adapter, same metrics of the last step, and every step was recorded."""
    found = {name.removeprefix("final."): value for name, value in outcome.metrics.items()}
    assert_same_files(found, out, undisturbed)


def assert_same_files(found: dict[str, float], out: Path, undisturbed: Path) -> None:
    assert (out / ADAPTER).read_bytes() == (undisturbed / ADAPTER).read_bytes()
    expected = json.loads((undisturbed / "last.json").read_text())
    for metrics in (expected, found):
        for pace in ("tokens_per_second", "pairs_per_second", "training_seconds", "memory_mb"):
            assert metrics.pop(pace) > 0
        assert metrics.pop("eta_seconds") == 0
    assert found == expected
    assert [row["step"] for row in read_metrics_lines(out)] == list(range(1, STEPS + 1))


def test_an_error_that_cannot_go_away_is_not_tried_again(root: Path, tmp_path: Path) -> None:
    wild = {"learning_rate": 1e30, "max_grad_norm": 1e30, "warmup_ratio": 0.0}
    with pytest.raises(TrainingError, match=r"step 2: expected a finite loss.*pair-0"):
        run_stage(root, tmp_path, "off", workers=1, **wild)
    starts = (tmp_path / "worker.log").read_text().count("objective: orpo")
    assert starts == 1


@contextmanager
def killing_workers(*moments: Callable[[], bool]) -> Iterator[None]:
    """While the body runs, kill one of the two workers at every moment in turn."""
    killed: list[psutil.Process] = []

    def kill() -> None:
        for moment in moments:
            wait_for(lambda: len(train_workers()) == 2, pause=0.5)
            workers = train_workers()
            wait_for(moment)
            victim = random.choice(workers)
            victim.send_signal(signal.SIGKILL)
            killed.append(victim)
            psutil.wait_procs([victim])

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    yield
    thread.join(timeout=5)
    assert len(killed) == len(moments)


def train_workers() -> list[psutil.Process]:
    """Ray Train's workers below this process."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "RayTrainWorker" in " ".join(process.cmdline()):
                found.append(process)
    return found


@contextmanager
def stopped(workers: Sequence[psutil.Process]) -> Iterator[None]:
    """Stop workers, and kill them after the body: they would outlive their driver by seconds.

    They are killed last, since Ray would start others in their place.
    """
    for worker in workers:
        worker.suspend()
    yield
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            worker.kill()
    assert psutil.wait_procs(workers, timeout=30)[1] == []


def wait_for(condition: Callable[[], bool], pause: float = 0.003) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "nothing came of it in time"
        time.sleep(pause)


def steps_done(out: Path) -> int:
    return len(read_metrics_lines(out))


def lines_of(out: Path) -> list[str]:
    return (out / "metrics.jsonl").read_text().splitlines()


def checkpoints(out: Path) -> list[Path]:
    return sorted(path for path in (out / RUN_NAME).glob("checkpoint_*") if path.is_dir())


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
