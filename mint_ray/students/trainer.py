"""Alignment of a student on preference pairs: one loop for every objective, engine and scale.

Works in a single process and, unchanged, in each worker of a distributed run whose process
group is there already (Ray Train, torchrun). The order of the data, the learning rate and
the loss's denominators depend on the settings and the step only, never on how a step is cut
into workers and micro-batches.
"""

import hashlib
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mint_ray.config import StudentConfig, TrainingConfig
from mint_ray.errors import ConfigError, DataError, TrainingError
from mint_ray.students import schedule
from mint_ray.students.base_models import load_base_model, load_tokenizer, resolve_base_model
from mint_ray.students.checkpoints import (
    Position,
    Report,
    read_position,
    read_shard,
    scratch_folder,
    write_checkpoint,
)
from mint_ray.students.distributed import (
    process_group,
    rank,
    sum_over_ranks,
    world_size,
)
from mint_ray.students.encoding import EncodedPair, Encoder
from mint_ray.students.engines import OFF, make_engine, trainable
from mint_ray.students.layouts import Policy, base_of, choose_layout
from mint_ray.students.meters import StepMeter
from mint_ray.students.pairs import PairTable, Usable
from mint_ray.students.student import (
    add_adapter,
    info_of,
    pick_device,
    pick_dtype,
    write_student,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSummary:
    """What a finished run was. Times in seconds; `metrics` are the last step's."""

    steps: int
    pairs: int
    rejected: Mapping[str, int]
    shortened_notes: int
    trainable_parameters: int
    layout: str
    precision: str
    device: str
    seconds: float
    metrics: Mapping[str, float]


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
) -> TrainingSummary:
    """Align a student on preference pairs and write it to `out`.

    Args:
        pairs: preference parquet (file or folder); rows of split `train` are used.
        out: folder of the finished student, which every rank may see; rank 0 writes it.
        student: base model, adapter and length limits.
        training: objective, schedule, engine.
        k: names that the pairs' prompts ask for; kept with the student.
        seed: of the adapter, the data order and dropout.
        micro_batch_size: pairs per forward pass and worker.
        report: called on every rank after every step with TRL's metric names, and with this
            rank's part of a checkpoint (a folder that is gone after the call) or None.
        resume_from: checkpoint folder to continue from, verified first.
        catalogue: `catalogue.parquet` to keep with the student.
        lineage: ids of what the student was made from.

    Raises:
        ConfigError: settings that cannot work together.
        DataError: no usable pair, or a group in several splits.
        TrainingError: a missing base model, a damaged or foreign checkpoint, a loss or
            gradient that is not finite (with the preference ids of the step).
    """
    accumulation = _accumulation(training.batch_size, micro_batch_size)
    if (device := pick_device()).type == "cuda":
        torch.cuda.set_device(device)
    with process_group(wanted=training.deepspeed != OFF):
        run = _Run(pairs, student, training, micro_batch_size, accumulation, seed, resume_from)
        summary = run.loop(report)
        if rank() == 0:
            out.mkdir(parents=True, exist_ok=True)
            run.table.write_rejected(run.usable.rejected, out / "rejected.parquet")
            info = info_of(run.base, student, k, training.objective, lineage or {})
            write_student(out, run.model, run.tokenizer, info, catalogue)
    return summary


def _accumulation(batch_size: int, micro_batch_size: int) -> int:
    per_pass = world_size() * micro_batch_size
    if batch_size % per_pass:
        raise ConfigError(
            f"training.batch_size={batch_size} must be a multiple of workers x micro-batch = "
            f"{world_size()} x {micro_batch_size} = {per_pass}; change training.batch_size, "
            "resources.train_workers or resources.micro_batch_size"
        )
    return batch_size // per_pass


class _Run:
    """Everything that lives as long as one call of `train`."""

    def __init__(
        self,
        pairs: Path,
        student: StudentConfig,
        training: TrainingConfig,
        micro_batch_size: int,
        accumulation: int,
        seed: int,
        resume_from: Path | None,
    ) -> None:
        self.student, self.training, self.seed = student, training, seed
        self.micro_batch_size, self.accumulation = micro_batch_size, accumulation
        self.base = resolve_base_model(student.base_model, student.revision)
        self.tokenizer = load_tokenizer(self.base)
        self.encoder = Encoder(self.tokenizer, student.max_prompt_length, student.max_length)
        self.table = PairTable(pairs)
        self.usable = _scan(self.table, self.encoder)
        self.steps = schedule.total_steps(
            len(self.usable.rows), training.batch_size, training.epochs, training.max_steps
        )
        position = self._check(resume_from) if resume_from else None
        self.device = pick_device()
        self.dtype = pick_dtype(training.precision, self.device)
        base = load_base_model(self.base, self.dtype, self.device)
        self.model = add_adapter(base, student, resume_from or student.init_adapter, seed)
        self.policy = Policy(self.model, self._layout(), training.nll_on == "prompt_and_chosen")
        _prepare(self.model, training.activation_checkpointing)
        self.engine = make_engine(self.policy, training, micro_batch_size, accumulation)
        torch.manual_seed(seed + rank())
        self.first = self._resume(resume_from, position) if resume_from and position else 0

    def loop(self, report: Report) -> TrainingSummary:
        """Train from `first` to the last step."""
        self._announce()
        started = time.perf_counter()
        metrics: dict[str, float] = {}
        for step in range(self.first, self.steps):
            metrics = self._step(step)
            done = step + 1
            if done % self.training.checkpoint_steps and done < self.steps:
                report(metrics, None)
                continue
            with scratch_folder() as folder:
                write_checkpoint(
                    Path(folder), self.model, self.engine.state(), self._position(done)
                )
                report(metrics, Path(folder))
        return TrainingSummary(
            steps=self.steps,
            pairs=len(self.usable.rows),
            rejected=self.usable.counts,
            shortened_notes=self.usable.shortened,
            trainable_parameters=sum(p.numel() for p in trainable(self.policy)),
            layout=self.policy.layout,
            precision=str(self.dtype).removeprefix("torch."),
            device=str(self.device),
            seconds=time.perf_counter() - started,
            metrics=metrics,
        )

    def _step(self, step: int) -> dict[str, float]:
        started = time.perf_counter()
        batches = self._batches(step)
        own = [pair for batch in batches for pair in batch]
        likelihood = sum(pair.likelihood_tokens(self.policy.with_prompt) for pair in own)
        tokens, seen = sum_over_ranks([likelihood, sum(map(len, own))], self.device)
        meter = StepMeter(self.training, tokens, self.accumulation * world_size())
        rate = schedule.learning_rate(
            step,
            self.steps,
            self.training.learning_rate,
            self.training.warmup_ratio,
            self.training.schedule,
        )
        norm = self.engine.update(batches, meter.loss_of, rate)
        metrics = meter.result(self.device)
        if not (math.isfinite(metrics["loss"]) and math.isfinite(norm)):
            raise TrainingError(self._not_finite(step, metrics["loss"], norm))
        return metrics | {
            "step": float(step + 1),
            "steps": float(self.steps),
            "epoch": (step + 1) * self.training.batch_size / len(self.usable.rows),
            "learning_rate": rate,
            "grad_norm": norm,
            "tokens_per_second": seen / (time.perf_counter() - started),
        }

    def _batches(self, step: int) -> list[list[EncodedPair]]:
        """This rank's micro-batches of a step."""
        rows = self._rows(step)
        share = len(rows) // world_size()
        mine = rows[rank() * share : (rank() + 1) * share]
        encoded = [self.table.encode(row, self.encoder) for row in mine]
        size = self.micro_batch_size
        return [encoded[at : at + size] for at in range(0, len(encoded), size)]

    def _rows(self, step: int) -> list[int]:
        usable = self.usable.rows
        order = schedule.rows_of_step(len(usable), self.training.batch_size, self.seed, step)
        return [usable[at] for at in order]

    def _layout(self) -> str:
        sample = self.table.encode(self.usable.rows[0], self.encoder)
        return choose_layout(self.training.prefix_sharing, self.model, sample)

    def _check(self, folder: Path) -> Position:
        position = read_position(folder)
        if position.run != self._fingerprint():
            raise TrainingError(
                f"checkpoint {folder} is of another run (other pairs, model, seed, batch size, "
                "epochs or schedule); start anew, or set student.init_adapter to it"
            )
        return position

    def _resume(self, folder: Path, position: Position) -> int:
        if (position.world_size, position.engine) == (world_size(), self.engine.name):
            self.engine.load_state(read_shard(folder))
            logger.info("resumed at step %d of %d", position.step, self.steps)
        else:
            logger.warning(
                "resumed at step %d of %d from the adapter alone: checkpoint has %d workers "
                "with %s, this run %d with %s, so the optimizer starts afresh",
                position.step,
                self.steps,
                position.world_size,
                position.engine,
                world_size(),
                self.engine.name,
            )
        return position.step

    def _position(self, done: int) -> Position:
        return Position(done, world_size(), self.engine.name, self._fingerprint())

    def _fingerprint(self) -> str:
        kept = ("objective", "batch_size", "epochs", "max_steps", "learning_rate", "schedule")
        settings = [getattr(self.training, name) for name in kept]
        adapter = self.student.model_dump(mode="json", exclude={"init_adapter"})
        content = repr((self.seed, settings, adapter, self.base.revision, self.usable.digest))
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def _announce(self) -> None:
        logger.info(
            "device: %s, precision: %s, workers: %d, engine: %s, layout: %s, "
            "micro-batch: %d x accumulation: %d, pairs: %d, steps: %d, rejected: %s, "
            "shortened notes: %d",
            self.device,
            self.dtype,
            world_size(),
            self.engine.name,
            self.policy.layout,
            self.micro_batch_size,
            self.accumulation,
            len(self.usable.rows),
            self.steps,
            self.usable.counts or "none",
            self.usable.shortened,
        )

    def _not_finite(self, step: int, loss: float, norm: float) -> str:
        ids = [self.table.row(row)["preference_id"] for row in self._rows(step)]
        return (
            f"step {step + 1}: expected a finite loss and gradient, found loss {loss} and "
            f"gradient norm {norm}; lower training.learning_rate or look at the pairs "
            f"{', '.join(map(str, ids))}"
        )


def _scan(table: PairTable, encoder: Encoder) -> Usable:
    usable = table.scan(encoder)
    if not usable.rows:
        raise DataError(
            f"expected at least one usable preference pair among {len(table)}, found none: "
            f"{usable.counts}",
            usable.counts,
        )
    return usable


def _prepare(model: Any, activation_checkpointing: bool) -> None:
    """Training mode for the adapter alone: the base model's own dropout stays off."""
    model.train()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and "lora_dropout" not in name:
            module.p = 0.0
    if activation_checkpointing:
        base_of(model).activation_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
