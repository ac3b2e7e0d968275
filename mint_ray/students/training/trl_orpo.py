"""Alignment of a student by TRL's own ORPO trainer, to compare this package's trainer with."""

import math
import os
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback

from mint_ray.common.devices import pick_device, pick_dtype
from mint_ray.errors import ConfigError, TrainingError
from mint_ray.students.data import schedule
from mint_ray.students.data.training_data import TrainingData, read_data
from mint_ray.students.engines.checkpoints import Report
from mint_ray.students.logprobs.layouts import attention_of, base_of
from mint_ray.students.models.base_models import load_base_model, resolve_base_model
from mint_ray.students.models.processors import load_readers
from mint_ray.students.models.trained_weights import prepare_weights
from mint_ray.students.objectives.registry import OBJECTIVES
from mint_ray.students.student import info_of, write_student
from mint_ray.students.training.step_loss import Eta, why_not_finite
from mint_ray.students.training_spec import TrainingSpec, TrainingSummary

_SCHEDULES = {"constant": "constant_with_warmup", "cosine": "cosine", "linear": "linear"}


def train_with_trl(spec: TrainingSpec, report: Report) -> TrainingSummary:
    """Align a student with TRL's `ORPOTrainer`, in this process alone, and write it to `spec.out`.

    Pairs, prompts, answers, schedule, and the number of steps and of pairs a step are those of
    `trainer.train`. The rest is TRL's: every pair is a row of its own with its prompt twice, rows
    are shuffled, losses are means of micro-batches, the warm-up begins at a learning rate of 0, and
    the weights are float32 under autocast. It keeps no checkpoint: an interrupted training starts
    again.

    Args:
        spec: inputs and settings of the run; the objective is ORPO.
        report: called after every step with TRL's metrics and those of `trainer.train`.

    Raises:
        ConfigError: the run is a trial of a campaign.
        DataError: no pair is usable; see `trainer.train`.
        TrainingError: the base model is missing, or the loss is not finite.
    """
    if spec.validation is not None:
        raise ConfigError("training.trainer=trl: expected no campaign, since TRL's has no rungs")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    from datasets import Dataset  # late: slow to import, and needed here alone
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    training, student, objective = spec.training, spec.student, OBJECTIVES["orpo"]
    base = resolve_base_model(student.base_model, student.revision)
    tokenizer, processor = load_readers(base)
    data = read_data(spec, objective, tokenizer, processor)
    device = pick_device()
    dtype = pick_dtype(training.precision, device)
    model = prepare_weights(load_base_model(base, torch.float32, device), student, spec.seed)
    steps = schedule.total_steps(
        len(data), training.batch_size, training.epochs, training.max_steps
    )
    pairs_per_step = training.batch_size * data.usable.rows / len(data)
    accumulation = max(1, round(pairs_per_step / spec.micro_batch_size))
    if training.max_tokens:
        tokens_per_step = spec.micro_batch_size * accumulation * _pair_tokens(data)
        steps = min(steps, max(1, int(training.max_tokens / tokens_per_step)))
    with tempfile.TemporaryDirectory() as scratch:
        trainer = ORPOTrainer(
            model=model,
            args=ORPOConfig(
                output_dir=scratch,
                beta=training.orpo_lambda,
                max_length=student.max_length,
                per_device_train_batch_size=spec.micro_batch_size,
                gradient_accumulation_steps=accumulation,
                max_steps=steps,
                learning_rate=training.learning_rate,
                lr_scheduler_type=_SCHEDULES[training.schedule],
                warmup_steps=math.ceil(steps * training.warmup_ratio),
                weight_decay=training.weight_decay,
                max_grad_norm=training.max_grad_norm,
                activation_checkpointing=training.activation_checkpointing,
                bf16=dtype == torch.bfloat16,
                use_cpu=device.type == "cpu",
                seed=spec.seed,
                logging_steps=1,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list(list(_rows(data, tokenizer))),
            processing_class=tokenizer,
        )
        reports = _StepReports(report, trainer, steps, device)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(reports)
        started = time.perf_counter()
        trainer.train()
    spec.out.mkdir(parents=True, exist_ok=True)
    data.table.write_rejected(data.usable.rejected, spec.out / "rejected.parquet")
    info = info_of(base, student, spec.k, "orpo", spec.lineage, spec.task.name)
    write_student(spec.out, model, tokenizer, info, spec.catalogue)
    return TrainingSummary(
        steps=steps,
        pairs=data.usable.rows,
        cases=len(data),
        rejected=data.usable.counts,
        shortened_notes=data.usable.shortened,
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        layout="padded",
        attention=attention_of(base_of(model)),
        precision=str(dtype).removeprefix("torch."),
        device=str(device),
        seconds=time.perf_counter() - started,
        metrics=reports.metrics,
        regime=None,
    )


def _pair_tokens(data: TrainingData) -> float:
    """Return the mean number of tokens of a pair, each of whose answers stands behind a prompt."""
    examples = [data.example(number) for number in range(len(data))]
    lengths = [
        2 * len(example.prompt) + len(example.completions[first]) + len(example.completions[second])
        for example in examples
        for first, second in example.preference_pairs
    ]
    return sum(lengths) / len(lengths)


def _rows(data: TrainingData, tokenizer: Any) -> Iterator[dict[str, str]]:
    """Yield prompt, chosen and rejected answer of each pair, as the text of their tokens."""
    for number in range(len(data)):
        example = data.example(number)
        for chosen, rejected in example.preference_pairs:
            yield {
                "prompt": tokenizer.decode(example.prompt),
                "chosen": tokenizer.decode(example.completions[chosen]),
                "rejected": tokenizer.decode(example.completions[rejected]),
            }


class _StepReports(TrainerCallback):  # type: ignore[misc]
    """Reports of a trainer's steps; tokens are counted by the mean length of a pair."""

    def __init__(self, report: Report, trainer: Any, steps: int, device: torch.device) -> None:
        self._report, self._steps, self._device = report, steps, device
        self._eta = Eta(steps)
        self._pairs = (
            trainer.args.per_device_train_batch_size * trainer.args.gradient_accumulation_steps
        )
        rows = trainer.train_dataset
        lengths = [len(ids) for side in ("chosen", "rejected") for ids in rows[f"{side}_input_ids"]]
        self._tokens = self._pairs * sum(lengths) / len(rows)
        self._began = 0.0
        self._seconds = 0.0
        self.metrics: dict[str, float] = {}

    def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Start the clock of a step."""
        self._began = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **others: Any) -> None:
        """Report a step; the trainer also logs a summary at its end, which has no loss."""
        if "loss" not in logs:
            return
        if not (math.isfinite(logs["loss"]) and math.isfinite(logs["grad_norm"])):
            loss, norm = logs["loss"], logs["grad_norm"]
            raise TrainingError(why_not_finite(state.global_step, loss, norm, args.learning_rate))
        seconds = time.perf_counter() - self._began
        self._seconds += seconds
        self.metrics = {
            **{name: float(value) for name, value in logs.items()},
            "step": float(state.global_step),
            "steps": float(self._steps),
            "tokens_seen": state.global_step * self._tokens,
            "training_seconds": self._seconds,
            "tokens_per_second": self._tokens / seconds,
            "pairs_per_second": self._pairs / seconds,
        } | self._eta.step(self._steps - state.global_step, self._device)
        self._report(self.metrics, None)
