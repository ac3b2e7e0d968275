"""Everything that a training run needs before its first step: data, model, engine, position."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import load_peft_weights, set_peft_model_state_dict

from mint_ray.config import StudentConfig, TrainingConfig
from mint_ray.errors import ConfigError, DataError, TrainingError
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.students import schedule
from mint_ray.students.base_models import (
    BaseModel,
    load_base_model,
    load_tokenizer,
    resolve_base_model,
)
from mint_ray.students.checkpoints import (
    ADAPTER_FILES,
    Position,
    read_position,
    read_shard,
    sha256,
)
from mint_ray.students.distributed import rank, world_size
from mint_ray.students.encoding import Encoder
from mint_ray.students.engines import Engine, make_engine, score, trainable
from mint_ray.students.examples import Compares, Example, PartMaker
from mint_ray.students.layouts import Policy, base_of, choose_attention, choose_layout
from mint_ray.students.objectives import OBJECTIVES, Objective
from mint_ray.students.pairs import PairTable, Usable
from mint_ray.students.reference import Reference, reference_key
from mint_ray.students.student import add_adapter, pick_device, pick_dtype

logger = logging.getLogger(__name__)

# Settings that decide how a run is computed, not what comes out.
_HOW = {
    "prefix_sharing",
    "attention",
    "checkpoint_steps",
    "activation_checkpointing",
    "deepspeed",
}


@dataclass(frozen=True)
class Settings:
    """What `train` was asked for."""

    student: StudentConfig
    training: TrainingConfig
    k: int
    seed: int
    micro_batch_size: int
    catalogue: Path | None


@dataclass(frozen=True)
class Ready:
    """A run that can take its next step, number `first` of `steps` (from 0)."""

    base: BaseModel
    tokenizer: Any
    table: PairTable
    maker: PartMaker
    usable: Usable
    objective: Objective
    device: torch.device
    dtype: torch.dtype
    attention: str
    model: Any
    policy: Policy
    engine: Engine
    reference: Reference | None
    steps: int
    first: int
    state: Mapping[str, Any]
    """What the checkpoint held beside the engine's state; empty at the start."""
    run: str
    trainable_parameters: int

    def example(self, number: int) -> Example:
        """Encode the usable example of a number."""
        return self.table.example(self.usable.examples[number], self.maker, number)

    def position(self, done: int) -> Position:
        """Where the run stands after `done` steps."""
        return Position(done, world_size(), self.engine.name, self.run)


def prepare(pairs: Path, settings: Settings, resume_from: Path | None) -> Ready:
    """Read the pairs, load the model, continue from a checkpoint; see `trainer.train`."""
    student, training = settings.student, settings.training
    objective = OBJECTIVES[training.objective]
    base = resolve_base_model(student.base_model, student.revision)
    tokenizer = load_tokenizer(base)
    compares = _compares(objective, training)
    table = PairTable(pairs, compares)
    encoder = Encoder(tokenizer, student.max_prompt_length, student.max_length)
    maker = PartMaker(encoder, compares, _names(compares, settings.catalogue), settings.k)
    usable = _scan(table, maker)
    steps = schedule.total_steps(
        len(usable.examples), training.batch_size, training.epochs, training.max_steps
    )
    run = _fingerprint(settings, base, usable)
    position = _check(resume_from, run) if resume_from else None
    device = pick_device()
    dtype = pick_dtype(training.precision, device)
    model = add_adapter(
        load_base_model(base, dtype, device), student, student.init_adapter, settings.seed
    )
    sample = table.example(usable.examples[0], maker)
    attention = choose_attention(training.attention, model, sample)
    layout = choose_layout(training.prefix_sharing, model, sample)
    policy = Policy(model, layout, _prompt_counts(objective, training))
    reference = None
    if objective.reference:
        key = reference_key(usable.digest, base.revision, _adapter_digest(student), dtype)
        reference = Reference(
            key,
            len(usable.examples),
            lambda number: table.example(usable.examples[number], maker, number),
            lambda batch: score(policy, policy, batch).sums,
            settings.micro_batch_size,
        )
    if resume_from:
        set_peft_model_state_dict(model, load_peft_weights(str(resume_from), device=str(device)))
    _training_mode(model, training.activation_checkpointing)
    accumulation = max(1, training.batch_size // (world_size() * settings.micro_batch_size))
    engine = make_engine(policy, training, settings.micro_batch_size, accumulation)
    torch.manual_seed(settings.seed + rank())
    parameters = sum(_whole_size(parameter) for parameter in trainable(policy))
    state = _resume(resume_from, position, engine, steps) if resume_from and position else {}
    first = position.step if position else 0
    return Ready(
        base, tokenizer, table, maker, usable, objective, device, dtype, attention, model, policy,
        engine, reference, steps, first, state, run, parameters,
    )  # fmt: skip


def _compares(objective: Objective, training: TrainingConfig) -> Compares:
    known = objective.compares == "chosen" and training.sft_on == "answer"
    return "answer" if known else objective.compares


def _prompt_counts(objective: Objective, training: TrainingConfig) -> bool:
    if objective.prompt_likelihood is not None:
        return objective.prompt_likelihood
    return training.nll_on == "prompt_and_chosen"


def _names(compares: Compares, catalogue: Path | None) -> dict[str, str]:
    if compares in ("pairs", "chosen"):
        return {}
    if catalogue is None:
        raise ConfigError(
            "this objective compares the catalogue's names, and no catalogue was given; pass the "
            "cases step's catalogue.parquet"
        )
    labels = Catalogue.read(catalogue).labels
    return {any_id: label.name for label in labels for any_id in label.ids}


def _scan(table: PairTable, maker: PartMaker) -> Usable:
    usable = table.scan(maker)
    if not usable.examples:
        raise DataError(
            f"expected at least one usable preference pair among {len(table)}, found none: "
            f"{usable.counts}",
            usable.counts,
        )
    return usable


def _fingerprint(settings: Settings, base: BaseModel, usable: Usable) -> str:
    """Everything that the result depends on; how it is computed may change from start to start."""
    training = settings.training.model_dump(mode="json", exclude=_HOW)
    student = settings.student.model_dump(mode="json", exclude={"init_adapter"})
    start = _adapter_digest(settings.student)
    content = repr((settings.seed, training, student, start, base.revision, usable.digest))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _check(folder: Path, run: str) -> Position:
    position = read_position(folder)
    if position.run != run:
        raise TrainingError(
            f"checkpoint {folder} is of another run (other pairs, model, starting adapter, seed or "
            "training settings); start anew, or set student.init_adapter to it"
        )
    return position


def _resume(folder: Path, position: Position, engine: Engine, steps: int) -> Mapping[str, Any]:
    """Put the optimizer back where it was, as far as it fits."""
    same_size = position.world_size == world_size()
    if position.engine == engine.name and (same_size or engine.replicated):
        # An optimizer that every rank has whole is the same in every rank's file.
        shard = read_shard(folder, rank() if same_size else 0, with_rng=same_size)
        engine.load_state(shard["engine"])
        logger.info("resumed at step %d of %d", position.step, steps)
        return {name: value for name, value in shard.items() if name != "engine"}
    logger.warning(
        "resumed at step %d of %d from the adapter alone: checkpoint has %d workers with %s, this "
        "run %d with %s, so the optimizer starts afresh",
        position.step,
        steps,
        position.world_size,
        position.engine,
        world_size(),
        engine.name,
    )
    return {}


def _adapter_digest(student: StudentConfig) -> str:
    """Of the starting adapter; a fresh one changes nothing about what the base model says."""
    if student.init_adapter is None:
        return "base"
    files = [student.init_adapter / name for name in ADAPTER_FILES]
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise ConfigError(
            f"student.init_adapter={student.init_adapter}: expected a PEFT adapter in safetensors, "
            f"found no {' and no '.join(absent)}; give the folder of a completed train step"
        )
    return "".join(sha256(file) for file in files)


def _whole_size(parameter: torch.nn.Parameter) -> int:
    """Elements of a parameter, also where ZeRO-3 holds a part of it."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def _training_mode(model: Any, activation_checkpointing: bool) -> None:
    """Training mode for the adapter alone: the base model's own dropout stays off."""
    model.train()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and "lora_dropout" not in name:
            module.p = 0.0
    if activation_checkpointing:
        base_of(model).activation_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
