"""Runs of a training function on Ray Train, for all stages that train."""

import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.constants import ENABLE_PREEMPTION_WATCHER_ENV_VAR

from mint_ray.common.files import read_json, write_json
from mint_ray.config.resources import ResourcesConfig
from mint_ray.errors import MintError, TrainingError, of_plain, to_plain
from mint_ray.runtime.interrupts import InterruptibleTrainer
from mint_ray.runtime.session import is_local

logger = logging.getLogger(__name__)

RUN_NAME = "ray_train"
"""Folder of Ray Train in the step's folder; the same name again continues the run."""
REFUSAL = "refusal.json"
"""File in which a worker leaves the error that stopped all workers."""
SNAPSHOT = "checkpoint_manager_snapshot.json"
"""Ray Train's list of checkpoints in that folder."""


def fit(
    worker: Callable[[dict[str, Any]], None],
    settings: dict[str, Any],
    output: Path,
    workers: int | tuple[int, int],
    resources: ResourcesConfig,
    callbacks: Sequence[UserCallback] = (),
) -> None:
    """Run `worker(settings)` on every Ray Train worker until it returns.

    Args:
        worker: training function; it runs in every worker process.
        settings: argument of `worker`.
        output: folder of the step; an interrupted run in it continues.
        workers: number of workers; (least, most) lets Ray shrink and grow the group in restarts.
        resources: CPUs and GPUs of each worker, and allowed failures.
        callbacks: run in Ray Train's controller process.

    Raises:
        MintError: a worker raised it; it is raised here without a retry.
        TrainingError: workers failed with other errors more often than `resources.max_failures`.
        KeyboardInterrupt: the process was interrupted; a later call with this folder continues.
    """
    _drop_broken_snapshot(output / RUN_NAME)
    refusal = output / REFUSAL
    refusal.unlink(missing_ok=True)
    trainer = _Trainer(
        partial(_run, worker, str(refusal)),
        train_loop_config=settings,
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=_resources(resources),
        ),
        run_config=RunConfig(
            name=RUN_NAME,
            storage_path=str(output),
            failure_config=FailureConfig(max_failures=resources.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            callbacks=list(callbacks),
        ),
    )
    trainer.on_own_ray = is_local(resources)
    if trainer.on_own_ray:  # of which nobody takes a node away
        os.environ.setdefault(ENABLE_PREEMPTION_WATCHER_ENV_VAR, "0")
    try:
        trainer.fit()
    except Exception as error:
        raise TrainingError(
            f"training failed on Ray more often than resources.max_failures="
            f"{resources.max_failures}: {type(error).__name__}: {error}; MINT_WORKER_LOGS=1 shows "
            "the workers' output"
        ) from error
    if refusal.exists():
        raise of_plain(read_json(refusal))


class _Trainer(InterruptibleTrainer):
    """Ray Train's trainer, without processes of Ray Train that have nothing to do.

    Each is a Python process that imports Ray and torch while the workers want the same cores: one
    hands out datasets, of which there are none; another one removes placement groups of a dead
    controller, which a Ray of this program's own does by ending with it.
    """

    on_own_ray = False

    def _create_default_callbacks(self) -> list[Any]:
        """Return the callbacks of Ray Train that are needed here."""
        idle = (
            (DatasetsCallback, PlacementGroupCleanerCallback)
            if self.on_own_ray
            else (DatasetsCallback,)
        )
        found = super()._create_default_callbacks()
        return [callback for callback in found if not isinstance(callback, idle)]


def _run(worker: Callable[[dict[str, Any]], None], refusal: str, settings: dict[str, Any]) -> None:
    """Run the worker; write a MintError to the file `refusal` and return, since Ray would retry.

    Such errors come from settings, data or numbers that all workers share, so all end alike.
    """
    try:
        worker(settings)
    except MintError as error:
        write_json(Path(refusal), to_plain(error))


def _drop_broken_snapshot(folder: Path) -> None:
    """Remove Ray's list of checkpoints if it is cut off or names a folder that is gone.

    Ray overwrites the list in place, and refuses to continue a run with such a list. The
    checkpoints themselves are found without it (`latest_good`), and then removed with the run's
    folder.
    """
    snapshot = folder / SNAPSHOT
    try:
        text = snapshot.read_text(encoding="utf-8")
        json.loads(text)
        named = set(re.findall(r"checkpoint_\d[\w.-]*", text))
        if all((folder / name).is_dir() for name in named):
            return
    except FileNotFoundError:
        return
    except ValueError:
        pass
    logger.warning("%s does not fit the checkpoints beside it and is dropped", snapshot)
    snapshot.unlink()


def _resources(resources: ResourcesConfig) -> dict[str, float]:
    needed = {"CPU": resources.cpus_per_worker}
    return needed | ({"GPU": resources.gpus_per_worker} if resources.gpus_per_worker else {})


def use_resources(resources: ResourcesConfig) -> None:
    """Set torch's CPU threads, and hide all GPUs if the settings give a worker none.

    Ray would leave a worker of a fraction of a CPU with one thread, and shows all GPUs of the
    machine to a worker that has none.
    """
    if resources.gpus_per_worker == 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(resources.threads_per_worker or max(1, round(resources.cpus_per_worker)))
