"""Continuation of a run from a checkpoint: the run's fingerprint and its optimizer state."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mint_ray.common.collectives import rank, world_size
from mint_ray.common.digests import digest_of, sha256
from mint_ray.config.training import StudentConfig, TrainingConfig
from mint_ray.errors import ConfigError, TrainingError
from mint_ray.students.data.pair_table import UsableRows
from mint_ray.students.engines.base import Engine
from mint_ray.students.engines.checkpoints import Position, read_position, read_shard
from mint_ray.students.models.base_models import BaseModel
from mint_ray.students.models.trained_weights import weight_files
from mint_ray.students.training_spec import TrainingSpec

logger = logging.getLogger(__name__)

# Settings that decide how a run is computed, not its result.
_EXECUTION_SETTINGS = {
    "prefix_sharing",
    "attention",
    "checkpoint_steps",
    "activation_checkpointing",
    "deepspeed",
    "members",
    "trials",
    "watch",
}
# Settings that joined after checkpoints had been written; they count where not the default.
_NEWER_SETTINGS = ("averaged_share", "candidates", "max_tokens", "seed")


def fingerprint(spec: TrainingSpec, base: BaseModel, usable: UsableRows, dtype: torch.dtype) -> str:
    """Return a hash of everything that the run's result depends on.

    Settings of execution (`prefix_sharing`, `deepspeed` and others) may change between a start and
    a resumption of the same run, so they are not part of it.

    Raises:
        ConfigError: `student.init_adapter` is not an adapter in safetensors.
    """
    defaults = TrainingConfig()
    unset = {n for n in _NEWER_SETTINGS if getattr(spec.training, n) == getattr(defaults, n)}
    training = spec.training.model_dump(mode="json", exclude=_EXECUTION_SETTINGS | unset)
    student = spec.student.model_dump(mode="json", exclude={"init_adapter"})
    start = adapter_digest(spec.student)
    # Otherwise the loss does not depend on the cut into micro-batches.
    cut_matters = (
        spec.training.loss_normalisation == "per_microbatch" or spec.student.lora_dropout > 0
    )
    cut = spec.micro_batch_size if cut_matters else None
    content = repr(
        (spec.seed, training, student, start, base.revision, usable.digest, str(dtype), cut)
    )
    return digest_of(content)[:16]


def check_resumable(folder: Path, run: str) -> Position:
    """Return the position of a checkpoint.

    Args:
        folder: the checkpoint.
        run: `fingerprint` of the run that is to continue.

    Raises:
        TrainingError: the checkpoint is incomplete or damaged, or belongs to another run.
    """
    position = read_position(folder)
    if position.run != run:
        raise TrainingError(
            f"checkpoint {folder} is of another run (other pairs, model, starting adapter, seed or "
            "training settings); start anew, or set student.init_adapter to it"
        )
    return position


def resume(folder: Path, position: Position, engine: Engine, steps: int) -> Mapping[str, Any]:
    """Restore the optimizer's state, where engine and number of workers allow it.

    Returns:
        What the checkpoint holds beside the engine's state, which is the same on all ranks.
    """
    same_size = position.world_size == world_size()
    shard = read_shard(folder, rank() if same_size else 0, with_rng=same_size)
    # An optimizer that every rank has whole is the same in every rank's file.
    if position.engine == engine.name and (same_size or engine.replicated):
        engine.load_state(shard["engine"])
        logger.info("resumed at step %d of %d", position.step, steps)
    else:
        logger.warning(
            "resumed at step %d of %d with a new optimizer: checkpoint has %d workers with %s, "
            "this run %d with %s",
            position.step,
            steps,
            position.world_size,
            position.engine,
            world_size(),
            engine.name,
        )
    return {name: value for name, value in shard.items() if name != "engine"}


def adapter_digest(student: StudentConfig) -> str:
    """Return a digest of the starting student's weights, `base` where there is none.

    A fresh LoRA adapter changes none of the base model's log-probabilities: its second factor
    starts at zero.

    Raises:
        ConfigError: the folder holds no weights in safetensors of the kind that is trained.
    """
    if student.init_adapter is None:
        return "base"
    files = [student.init_adapter / name for name in weight_files(student)]
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise ConfigError(
            f"student.init_adapter={student.init_adapter}: expected trained weights in safetensors "
            f"(student.adapter={student.adapter}), found no {' and no '.join(absent)}; give the "
            "folder of a completed train step"
        )
    return "".join(sha256(file) for file in files)
