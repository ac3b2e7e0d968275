"""Alignment of a student on preference pairs: one loop for every objective, engine and scale.

Works in a single process and, unchanged, in each worker of a distributed run whose process
group is there already (Ray Train, torchrun). The order of the data, the learning rate and
the loss's denominators depend on the settings and the step only, never on how a step is cut
into workers and micro-batches (but under `per_microbatch`, and for the draws of dropout).
"""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mint_ray.common.collectives import process_group, rank, sum_over_ranks, world_size
from mint_ray.common.devices import pick_device
from mint_ray.config.checks import check_batch_size
from mint_ray.config.training import StudentConfig, TrainingConfig
from mint_ray.errors import TrainingError
from mint_ray.students.data import schedule
from mint_ray.students.data.batches import cut, share_of
from mint_ray.students.engines.base import OFF
from mint_ray.students.engines.checkpoints import (
    Report,
    scratch_folder,
    sweep_scratch_folders,
    write_checkpoint,
)
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layouts import Logps
from mint_ray.students.objectives.losses import Scored
from mint_ray.students.student import info_of, write_student
from mint_ray.students.training.estep import EStep
from mint_ray.students.training.setup import Ready, prepare
from mint_ray.students.training.step_loss import Pace, StepMeter
from mint_ray.students.training.validation import ValidationPlan, Validator
from mint_ray.students.training_spec import Settings
from mint_ray.tasks.task import TASKS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSummary:
    """What a finished run was. Times in seconds; `metrics` are the last step's."""

    steps: int
    pairs: int
    cases: int
    rejected: Mapping[str, int]
    shortened_notes: int
    trainable_parameters: int
    layout: str
    attention: str
    precision: str
    device: str
    seconds: float
    metrics: Mapping[str, float]
    regime: str | None
    """What was measured of the starting student's calibration, where the objective asks."""


def train(
    pairs: Path,
    out: Path,
    *,
    student: StudentConfig,
    training: TrainingConfig,
    k: int,
    seed: int,
    micro_batch_size: int = 1,
    report: Report,
    resume_from: Path | None = None,
    catalogue: Path | None = None,
    lineage: Mapping[str, str] | None = None,
    task: str = "disease",
    validation: ValidationPlan | None = None,
) -> TrainingSummary:
    """Align a student on preference pairs and write it to `out`.

    Args:
        pairs: preference parquet (file or folder); rows of split `train` are used.
        out: folder of the finished student, which every rank may see; rank 0 writes it.
        student: base model, adapter and length limits.
        training: objective, schedule, engine.
        k: names that the pairs' prompts ask for; kept with the student.
        seed: of the adapter, the data order and dropout.
        micro_batch_size: cases per forward pass and worker.
        report: called on every rank after every step with TRL's metric names, and with this
            rank's part of a checkpoint (a folder that is gone after the call) or None.
        resume_from: checkpoint folder to continue from, verified first.
        catalogue: `catalogue.parquet` to keep with the student, which names the labels that
            `cft`, `rcft` and `sft` on the known answer compare.
        lineage: ids of what the student was made from.
        task: name of what the pairs ask (`prompts.TASKS`).
        validation: cases to rank on the way; what that gives is reported with a checkpoint, as
            `validation/...`, and changes nothing about the training.

    Raises:
        ConfigError: settings that cannot work together.
        DataError: no usable pair, a missing column, or a group in several splits.
        TrainingError: a missing base model, a damaged or foreign checkpoint, a loss or
            gradient that is not finite (with the preference ids of the step).
    """
    even = training.deepspeed != OFF
    check_batch_size(training.batch_size, micro_batch_size, world_size(), even)
    if (device := pick_device()).type == "cuda":
        torch.cuda.set_device(device)
    sweep_scratch_folders()
    settings = Settings(student, training, k, seed, micro_batch_size, catalogue, TASKS[task])
    with process_group(wanted=training.deepspeed != OFF):
        ready = prepare(pairs, settings, resume_from)
        validator = Validator(validation, settings, ready) if validation else None
        summary = _Loop(settings, ready, validator).run(report)
        with ready.engine.whole():
            if rank() == 0:
                out.mkdir(parents=True, exist_ok=True)
                ready.data.table.write_rejected(
                    ready.data.usable.rejected, out / "rejected.parquet"
                )
                info = info_of(ready.base, student, k, training.objective, lineage or {}, task)
                write_student(out, ready.policy.model, ready.reader, info, catalogue)
    return summary


class _Loop:
    """Optimizer steps from where a prepared run stands to its last."""

    def __init__(self, settings: Settings, ready: Ready, validator: Validator | None) -> None:
        self.settings, self.training = settings, settings.training
        self.ready, self.validator = ready, validator
        self.validated = validator.steps if validator else []
        self.with_prompt = ready.policy.with_prompt
        self.estep = EStep(
            ready.objective,
            self.training,
            len(ready.data),
            settings.micro_batch_size,
            ready.engine,
            ready.data.example,
            ready.state.get("bins"),
        )
        self.regime: str | None = ready.state.get("regime")

    def run(self, report: Report) -> TrainingSummary:
        """All steps; see `train`."""
        ready, pace = self.ready, Pace(self.ready.steps - self.ready.first)
        _announce(self.settings, ready)
        started = time.perf_counter()
        metrics: dict[str, float] = dict(ready.state.get("metrics", {}))
        for step in range(ready.first, ready.steps):
            metrics = self._step(step) | pace.step(ready.steps - step - 1, ready.device)
            done = step + 1
            if self.validator and done in self.validated:
                metrics |= self.validator.measure(done)
            elif done % self.training.checkpoint_steps and done < ready.steps:
                report(metrics, None)
                continue
            with scratch_folder() as folder, ready.engine.whole():
                state = {
                    "engine": ready.engine.state(),
                    "bins": self.estep.state(),
                    "metrics": metrics,
                    "regime": self.regime,
                }
                write_checkpoint(Path(folder), ready.policy.model, state, ready.position(done))
                report(metrics, Path(folder))
        return TrainingSummary(
            steps=ready.steps,
            pairs=ready.data.usable.rows,
            cases=len(ready.data),
            rejected=ready.data.usable.counts,
            shortened_notes=ready.data.usable.shortened,
            trainable_parameters=ready.trainable_parameters,
            layout=ready.policy.layout,
            attention=ready.attention,
            precision=str(ready.dtype).removeprefix("torch."),
            device=str(ready.device),
            seconds=time.perf_counter() - started,
            metrics=metrics,
            regime=self.regime,
        )

    def _step(self, step: int) -> dict[str, float]:
        ready, batch_size = self.ready, self.training.batch_size
        numbers = schedule.rows_of_step(len(ready.data), batch_size, self.settings.seed, step)
        measured = self._measure(step)
        started = time.perf_counter()
        micro = cut(
            [ready.data.usable.lengths[number] for number in numbers],
            self.settings.micro_batch_size,
            world_size(),
        )
        batches = [
            [ready.data.example(numbers[place]) for place in places]
            for places in share_of(micro, rank(), world_size())
        ]
        own = [example for batch in batches for example in batch]
        tokens, units, seen = sum_over_ranks(
            [
                sum(example.likelihood_tokens(self.with_prompt) for example in own)
                * ready.objective.likelihood,
                sum(example.units for example in own),
                sum(map(len, own)),
            ],
            ready.device,
        )
        meter = StepMeter(self.training, tokens, units, len(micro), self.with_prompt)
        rate = schedule.learning_rate(
            step,
            ready.steps,
            self.training.learning_rate,
            self.training.warmup_ratio,
            self.training.schedule,
        )

        def loss_of(batch: Sequence[Example], logps: Logps) -> torch.Tensor:
            reference = ready.reference.of(batch, ready.device) if ready.reference else None
            return meter.loss_of(Scored(batch, logps, reference, self.estep.bins))

        norm = ready.engine.update(batches, loss_of, rate)
        metrics = meter.result(ready.device)
        if not (math.isfinite(metrics["loss"]) and math.isfinite(norm)):
            raise TrainingError(self._not_finite(step, numbers, metrics["loss"], norm))
        seconds = time.perf_counter() - started
        return (
            metrics
            | measured
            | {
                "step": float(step + 1),
                "steps": float(ready.steps),
                "epoch": (step + 1) * batch_size / len(ready.data),
                "learning_rate": rate,
                "grad_norm": norm,
                "tokens_per_second": seen / seconds,
                "pairs_per_second": units / seconds,
            }
        )

    def _measure(self, step: int) -> dict[str, float]:
        """The E-step that is due before this step, and the regime that it found."""
        found = self.estep.before(step, first=self.ready.first)
        if found is None:
            return {}
        if step == 0:
            self.regime = found.advice()
            logger.info("calibration regime: %s", self.regime)
        return found.metrics()

    def _not_finite(self, step: int, numbers: list[int], loss: float, norm: float) -> str:
        ids = [name for number in numbers for name in self.ready.data.preference_ids(number)]
        return (
            f"step {step + 1}: expected a finite loss and gradient, found loss {loss} and "
            f"gradient norm {norm}; lower training.learning_rate or look at the pairs "
            f"{', '.join(ids)}"
        )


def _announce(settings: Settings, ready: Ready) -> None:
    facts: dict[str, Any] = {
        "objective": settings.training.objective,
        "device": ready.device,
        "precision": ready.dtype,
        "workers": world_size(),
        "engine": ready.engine.name,
        "layout": ready.policy.layout,
        "attention": ready.attention,
        "cases": len(ready.data),
        "pairs": ready.data.usable.rows,
        "cases per step": settings.training.batch_size,
        "micro-batch": settings.micro_batch_size,
        "steps": ready.steps,
        "rejected": ready.data.usable.counts or "none",
        "shortened notes": ready.data.usable.shortened,
        "trainable parameters": f"{ready.trainable_parameters:,}",
    }
    logger.info(", ".join(f"{name}: {value}" for name, value in facts.items()))
