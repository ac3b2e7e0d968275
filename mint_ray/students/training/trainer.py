"""Alignment of a student on preference pairs: one loop for every objective, engine and scale.

The loop runs in a single process and, unchanged, in each worker of a distributed run whose process
group exists already (Ray Train, torchrun). The order of the data, the learning rate and the loss's
denominators depend on the settings and the step only, not on how a step is cut into workers and
micro-batches. There are two exceptions: `per_microbatch`, and the draws of dropout.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mint_ray.common.collectives import process_group, rank, sum_over_ranks, world_size
from mint_ray.common.devices import pick_device, release_freed_memory
from mint_ray.config.checks import check_batch_size
from mint_ray.errors import TrainingError
from mint_ray.students.data import schedule
from mint_ray.students.data.batches import cut, share_of
from mint_ray.students.engines.base import trainable
from mint_ray.students.engines.checkpoints import (
    Report,
    scratch_folder,
    sweep_scratch_folders,
    write_checkpoint,
)
from mint_ray.students.engines.deepspeed_presets import OFF
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layouts import Logps
from mint_ray.students.objectives.losses import ScoredBatch
from mint_ray.students.student import info_of, write_student
from mint_ray.students.training.calibration_estep import EStep
from mint_ray.students.training.running_mean import RunningMean
from mint_ray.students.training.setup import TrainingState, setup_training
from mint_ray.students.training.step_loss import Eta, StepLoss, why_not_finite
from mint_ray.students.training.validation import Validator
from mint_ray.students.training_spec import TAUGHT, TrainingSpec, TrainingSummary

logger = logging.getLogger(__name__)

TRIM_STEPS = 5
"""Steps between two releases of freed memory on a CPU."""


def train(spec: TrainingSpec, report: Report, resume_from: Path | None = None) -> TrainingSummary:
    """Align a student on preference pairs and write it to `spec.out`.

    Args:
        spec: inputs and settings of the run.
        report: called on every rank after every step with TRL's metric names, and with this
            rank's part of a checkpoint (a folder that is removed after the call) or None.
        resume_from: checkpoint folder to continue from, verified first.

    Raises:
        ConfigError: settings cannot work together.
        DataError: no pair is usable, a column is missing, or a group is in several splits.
        TrainingError: the base model is missing, the checkpoint is damaged or belongs to another
            run, or a loss or gradient is not finite (with the preference ids of the step).
    """
    training = spec.training
    even = training.deepspeed != OFF
    check_batch_size(training.batch_size, spec.micro_batch_size, world_size(), even)
    if (device := pick_device()).type == "cuda":
        torch.cuda.set_device(device)
    sweep_scratch_folders()
    with process_group(wanted=training.deepspeed != OFF):
        state = setup_training(spec, resume_from)
        validator = Validator(spec.validation, spec, state) if spec.validation else None
        summary = _Loop(spec, state, validator).run(report)
        with state.engine.whole():
            if rank() == 0:
                _write(spec, state)
    return summary


def _write(spec: TrainingSpec, state: TrainingState) -> None:
    """Write the finished student, and the rows that could not be used."""
    spec.out.mkdir(parents=True, exist_ok=True)
    rejected = state.data.usable.rejected
    state.data.table.write_rejected(rejected, spec.out / "rejected.parquet")
    _write_taught(spec, state)
    objective, task = spec.training.objective, spec.task.name
    info = info_of(state.base, spec.student, spec.k, objective, spec.lineage, task)
    reader = state.tokenizer_or_processor
    write_student(spec.out, state.policy.model, reader, info, spec.catalogue)


def _write_taught(spec: TrainingSpec, state: TrainingState) -> None:
    size, seed, data = spec.training.batch_size, spec.seed, state.data
    read = Counter(
        number
        for step in range(state.steps)
        for number in schedule.rows_of_step(len(data), size, seed, step)
    )
    ids = [(name, read[number]) for number in sorted(read) for name in data.preference_ids(number)]
    columns = {"preference_id": [name for name, _ in ids], "times": [times for _, times in ids]}
    schema = pa.schema([("preference_id", pa.string()), ("times", pa.int32())])
    pq.write_table(pa.table(columns, schema), spec.out / TAUGHT)


class _Loop:
    """The remaining optimizer steps of a prepared run."""

    def __init__(
        self, spec: TrainingSpec, state: TrainingState, validator: Validator | None
    ) -> None:
        self._spec, self._training = spec, spec.training
        self._state, self._validator = state, validator
        self._validated = validator.steps if validator else []
        self._estep = EStep(
            state.objective,
            self._training,
            len(state.data),
            spec.micro_batch_size,
            state.engine,
            state.data.example,
            state.restored.get("bins"),
        )
        self._regime: str | None = state.restored.get("regime")
        self._mean = self._running_mean()
        before = state.restored.get("metrics", {})
        self._tokens_seen: float = before.get("tokens_seen", 0.0)
        self._seconds: float = before.get("training_seconds", 0.0)

    def run(self, report: Report) -> TrainingSummary:
        """Take all steps; see `train`."""
        state, eta = self._state, Eta(self._state.steps - self._state.first_step)
        _announce(self._spec, state)
        started = time.perf_counter()
        metrics: dict[str, float] = dict(state.restored.get("metrics", {}))
        if self._mean and state.first_step == state.steps:
            self._mean.give()  # a run that was resumed after its last step
        if self._validator and state.first_step == 0 and 0 in self._validated:
            start = {"step": 0.0, "steps": float(state.steps), "tokens_seen": 0.0}
            report(start | self._validator.measure(0), None)
        for step in range(state.first_step, state.steps):
            metrics = self._step(step) | eta.step(state.steps - step - 1, state.device)
            done = step + 1
            if self._mean:
                self._mean.add(done)
                if done == state.steps:
                    self._mean.give()
            if state.device.type == "cpu" and not done % TRIM_STEPS:
                release_freed_memory()
            due = not done % self._training.checkpoint_steps or done == state.steps
            if self._validator and done in self._validated:
                metrics |= self._validator.measure(done)
                due = due or self._validator.keeps_checkpoints
            if due:
                self._report_checkpoint(done, metrics, report)
            else:
                report(metrics, None)
        return TrainingSummary(
            steps=state.steps,
            pairs=state.data.usable.rows,
            cases=len(state.data),
            rejected=state.data.usable.counts,
            shortened_notes=state.data.usable.shortened,
            trainable_parameters=state.trainable_parameters,
            layout=state.policy.layout,
            attention=state.attention,
            precision=str(state.dtype).removeprefix("torch."),
            device=str(state.device),
            seconds=time.perf_counter() - started,
            metrics=metrics,
            regime=self._regime,
        )

    def _running_mean(self) -> RunningMean | None:
        """Return the mean of the weights so far, None for a run that ends in its last ones."""
        state, share = self._state, self._training.averaged_share
        if not share:
            return None
        mean = RunningMean(trainable(state.policy), state.steps, share)
        if "mean" in state.restored:
            mean.load_state(state.restored["mean"])
        return mean

    def _report_checkpoint(self, done: int, metrics: dict[str, float], report: Report) -> None:
        state = self._state
        with scratch_folder() as folder, state.engine.whole():
            shard = {
                "engine": state.engine.state(),
                "bins": self._estep.state(),
                "metrics": metrics,
                "regime": self._regime,
            }
            if self._mean:
                shard["mean"] = self._mean.state()
            write_checkpoint(Path(folder), state.policy.model, shard, state.position(done))
            report(metrics, Path(folder))

    def _step(self, step: int) -> dict[str, float]:
        """Take one optimizer step; return its metrics, those of an E-step before it included."""
        state = self._state
        indices = schedule.rows_of_step(
            len(state.data), self._training.batch_size, self._spec.seed, step
        )
        calibration = self._measure_calibration(step)
        started = time.perf_counter()
        batches, micro_batches = self._batches(indices)
        tokens, units, computed = self._denominators(batches)
        step_loss = StepLoss(
            state.objective,
            self._training,
            tokens,
            units,
            micro_batches,
            state.policy.with_prompt,
        )
        rate = schedule.learning_rate(
            step,
            state.steps,
            self._training.learning_rate,
            self._training.warmup_ratio,
            self._training.schedule,
        )

        def loss_of(batch: Sequence[Example], logps: Logps) -> torch.Tensor:
            reference = state.reference.of(batch, state.device) if state.reference else None
            return step_loss.loss_of(ScoredBatch(batch, logps, reference, self._estep.bins))

        norm = state.engine.update(batches, loss_of, rate)
        metrics = step_loss.result(state.device)
        if not (math.isfinite(metrics["loss"]) and math.isfinite(norm)):
            raise TrainingError(self._not_finite(step, indices, metrics["loss"], norm))
        seconds = time.perf_counter() - started
        self._tokens_seen += computed
        self._seconds += seconds
        return (
            metrics
            | calibration
            | {
                "step": float(step + 1),
                "steps": float(state.steps),
                "epoch": (step + 1) * self._training.batch_size / len(state.data),
                "learning_rate": rate,
                "grad_norm": norm,
                "tokens_seen": self._tokens_seen,
                "training_seconds": self._seconds,
                "tokens_per_second": computed / seconds,
                "pairs_per_second": units / seconds,
            }
        )

    def _batches(self, indices: Sequence[int]) -> tuple[list[list[Example]], int]:
        """Encode this rank's micro-batches; return them and their number over all ranks."""
        data = self._state.data
        micro_batches = cut(
            [data.usable.lengths[index] for index in indices],
            self._spec.micro_batch_size,
            world_size(),
        )
        local = [
            [data.example(indices[position]) for position in positions]
            for positions in share_of(micro_batches, rank(), world_size())
        ]
        return local, len(micro_batches)

    def _denominators(self, batches: Sequence[Sequence[Example]]) -> list[float]:
        """Return likelihood tokens, units and computed tokens of the step, over all ranks."""
        state = self._state
        local = [example for batch in batches for example in batch]
        with_prompt = state.policy.with_prompt
        likelihood = sum(example.likelihood_tokens(with_prompt) for example in local)
        return sum_over_ranks(
            [
                likelihood * state.objective.likelihood,
                sum(example.n_pairs_or_1 for example in local),
                sum(map(len, local)),
            ],
            state.device,
        )

    def _measure_calibration(self, step: int) -> dict[str, float]:
        """Run the E-step that is due before this step, if any; return the metrics of its regime."""
        regime = self._estep.before(step, first=self._state.first_step)
        if regime is None:
            return {}
        if step == 0:
            self._regime = regime.advice()
            logger.info("calibration regime: %s", self._regime)
        return regime.metrics()

    def _not_finite(self, step: int, indices: list[int], loss: float, norm: float) -> str:
        ids = [name for index in indices for name in self._state.data.preference_ids(index)]
        said = why_not_finite(step + 1, loss, norm, self._training.learning_rate)
        return f"{said} or look at the pairs {', '.join(ids)}"


def _announce(spec: TrainingSpec, state: TrainingState) -> None:
    facts: dict[str, Any] = {
        "objective": spec.training.objective,
        "device": state.device,
        "precision": state.dtype,
        "workers": world_size(),
        "engine": state.engine.name,
        "layout": state.policy.layout,
        "attention": state.attention,
        "cases": len(state.data),
        "pairs": state.data.usable.rows,
        "cases per step": spec.training.batch_size,
        "micro-batch": spec.micro_batch_size,
        "steps": state.steps,
        "rejected": state.data.usable.counts or "none",
        "shortened notes": state.data.usable.shortened,
        "trainable parameters": f"{state.trainable_parameters:,}",
    }
    logger.info(", ".join(f"{name}: {value}" for name, value in facts.items()))
