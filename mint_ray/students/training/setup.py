"""Preparation of a training run before its first step: data, model, engine, position."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mint_ray.common.collectives import agree, gather, rank, world_size
from mint_ray.common.devices import pick_device, pick_dtype
from mint_ray.config.training import StudentConfig, TrainingConfig
from mint_ray.errors import ConfigError, TrainingError
from mint_ray.students.data import schedule
from mint_ray.students.data.training_data import TrainingData, read_data
from mint_ray.students.engines.base import Engine, score, trainable
from mint_ray.students.engines.checkpoints import Position
from mint_ray.students.engines.make import make_engine
from mint_ray.students.logprobs.layout_check import choose_attention, choose_layout
from mint_ray.students.logprobs.layouts import Policy, attention_of, base_of
from mint_ray.students.models.base_models import BaseModel, load_base_model, resolve_base_model
from mint_ray.students.models.processors import load_readers
from mint_ray.students.models.trained_weights import load_weights, prepare_weights
from mint_ray.students.objectives.registry import OBJECTIVES, Objective
from mint_ray.students.student import check_input_modality
from mint_ray.students.student_folder import read_info
from mint_ray.students.training.reference import Reference, reference_key
from mint_ray.students.training.resume import adapter_digest, check_resumable, fingerprint, resume
from mint_ray.students.training_spec import TrainingSpec


@dataclass(frozen=True)
class TrainingState:
    """A run that can take its next step, number `first_step` of `steps` (from 0).

    `fingerprint` identifies the run (`resume.fingerprint`). `tokenizer_or_processor` is the
    processor of a model of images, else the tokenizer. `restored` is what a checkpoint held beside
    the engine's state, empty at the start.
    """

    base: BaseModel
    tokenizer_or_processor: Any
    data: TrainingData
    objective: Objective
    device: torch.device
    dtype: torch.dtype
    policy: Policy
    engine: Engine
    reference: Reference | None
    steps: int
    first_step: int
    restored: Mapping[str, Any]
    fingerprint: str
    trainable_parameters: int

    def position(self, done: int) -> Position:
        """Return the run's position after `done` steps."""
        return Position(done, world_size(), self.engine.name, self.fingerprint)

    @property
    def attention(self) -> str:
        """Name of the attention that the model runs."""
        return attention_of(base_of(self.policy.model))


def setup_training(spec: TrainingSpec, resume_from: Path | None) -> TrainingState:
    """Read the pairs, load the model, continue from a checkpoint; see `trainer.train`."""
    training, objective = spec.training, OBJECTIVES[spec.training.objective]
    base = resolve_base_model(spec.student.base_model, spec.student.revision)
    check_input_modality(base, spec.task)
    tokenizer, processor = load_readers(base)
    data = read_data(spec, objective, tokenizer, processor)
    device = pick_device()
    dtype = agree(pick_dtype(training.precision, device))
    run = fingerprint(spec, base, data.usable, dtype)
    resume_from = agree(resume_from)
    position = check_resumable(resume_from, run) if resume_from else None
    _refuse_disagreement(run)
    policy = _make_policy(spec, objective, base, dtype, device, data)
    # The reference is the policy at step 0, so it comes before a checkpoint's weights are loaded.
    reference = _make_reference(spec, base, dtype, policy, data) if objective.reference else None
    if resume_from:
        load_weights(policy.model, resume_from)
    _training_mode(policy.model, training.activation_checkpointing)
    accumulation = max(1, training.batch_size // (world_size() * spec.micro_batch_size))
    engine = make_engine(policy, training, spec.micro_batch_size, accumulation)
    torch.manual_seed(spec.seed + rank())
    steps = schedule.total_steps(
        len(data), training.batch_size, training.epochs, training.max_steps
    )
    if training.max_tokens:
        lengths = data.usable.lengths
        steps = schedule.steps_within(
            training.max_tokens, lengths, training.batch_size, spec.seed, steps
        )
    return TrainingState(
        base=base,
        tokenizer_or_processor=processor or tokenizer,
        data=data,
        objective=objective,
        device=device,
        dtype=dtype,
        policy=policy,
        engine=engine,
        reference=reference,
        steps=steps,
        first_step=position.step if position else 0,
        restored=resume(resume_from, position, engine, steps) if resume_from and position else {},
        fingerprint=run,
        trainable_parameters=sum(_whole_size(parameter) for parameter in trainable(policy)),
    )


def _refuse_disagreement(run: str) -> None:
    if len(set(gather(run))) > 1:
        raise TrainingError(
            "expected all workers to see the same pairs, base model and precision, found "
            "differences; let all nodes see the same store, and give them the same kind of device"
        )


def _make_policy(
    spec: TrainingSpec,
    objective: Objective,
    base: BaseModel,
    dtype: torch.dtype,
    device: torch.device,
    data: TrainingData,
) -> Policy:
    """Load the model with its starting weights, and choose its layout and attention."""
    student, training = spec.student, spec.training
    _refuse_other_base(base, student)
    model = load_base_model(base, dtype, device)
    _refuse_short_context(model, student)
    model = prepare_weights(model, student, spec.seed)
    sample = data.longest()
    # All ranks take rank 0's choices, also where their devices differ.
    attention = agree(choose_attention(training.attention, training.prefix_sharing, model, sample))
    if attention_of(base_of(model)) != attention:
        base_of(model).set_attn_implementation(attention)
    layout = agree(choose_layout(training.prefix_sharing, model, sample))
    smooths = objective.smooths and training.label_smoothing > 0
    return Policy(model, layout, _with_prompt(objective, training), with_means=smooths)


def _make_reference(
    spec: TrainingSpec, base: BaseModel, dtype: torch.dtype, policy: Policy, data: TrainingData
) -> Reference:
    start = adapter_digest(spec.student)
    key = reference_key(data.usable.digest, base.reference, base.revision, start, dtype)
    return Reference(
        key,
        len(data),
        data.example,
        lambda batch: score(policy, policy, batch).sums,
        spec.micro_batch_size,
    )


def _with_prompt(objective: Objective, training: TrainingConfig) -> bool:
    if objective.prompt_likelihood is not None:
        return objective.prompt_likelihood
    return training.nll_on == "prompt_and_chosen"


def _refuse_short_context(model: Any, student: StudentConfig) -> None:
    config = base_of(model).config.get_text_config()
    context = getattr(config, "max_position_embeddings", None)
    if context and student.max_length > context:
        raise ConfigError(
            f"student.max_length={student.max_length}: expected at most {context}, the context of "
            f"{student.base_model}; lower student.max_length and student.max_prompt_length"
        )


def _refuse_other_base(base: BaseModel, student: StudentConfig) -> None:
    """Raise ConfigError if the starting adapter was trained on another base model."""
    if student.init_adapter is None:
        return
    try:
        info = read_info(student.init_adapter)
    except TrainingError:
        # An adapter that another program trained does not say which base model it fits.
        return
    if info.base_revision != base.revision:
        raise ConfigError(
            f"student.init_adapter={student.init_adapter}: expected the base model that it was "
            f"trained on, {info.base_model} ({info.base_revision}), found "
            f"student.base_model={student.base_model} ({base.revision}); use the same base model"
        )


def _whole_size(parameter: torch.nn.Parameter) -> int:
    """Return the number of a parameter's elements, also where ZeRO-3 holds a part of it."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def _training_mode(model: Any, activation_checkpointing: bool) -> None:
    """Put the adapter alone into training mode: the base model's dropout stays off."""
    model.train()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and "lora_dropout" not in name:
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0  # used as a number, without a module of its own
    if activation_checkpointing:
        base_of(model).activation_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
