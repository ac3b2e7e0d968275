"""Specification of a training run (inputs, settings, validation), and its summary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mint_ray.config.evaluation import EvaluationConfig
from mint_ray.config.training import StudentConfig, TrainingConfig
from mint_ray.tasks.task import DISEASE, Task

TAUGHT = "taught.parquet"
"""File beside a finished student: the preference rows that its training read, by id, and how often
it read each."""


@dataclass(frozen=True)
class ValidationPlan:
    """Plan of a run's validation: the cases to rank, the steps to rank after, the settings.

    `cases` has the columns case_id, group_id, label_id and the student's input (note or image).
    `shares` (0 to 1) are the parts of the run's steps after which cases are ranked, besides the
    run's end. With `every`, cases are ranked after each so many steps instead, and before the
    first one. `folder` gets a file of answers for each of these steps.
    """

    cases: Path
    catalogue: Path
    shares: Sequence[float]
    folder: Path
    evaluation: EvaluationConfig
    every: int | None = None

    def steps(self, total: int) -> list[int]:
        """Return the steps after which cases are ranked, ascending; the last one is `total`."""
        if self.every is not None:
            return [*range(0, total, self.every), total]
        early = {max(1, round(share * total)) for share in self.shares}
        return [*sorted(step for step in early if step < total), total]


@dataclass(frozen=True)
class TrainingSpec:
    """Specification of one call of `trainer.train`."""

    pairs: Path
    """Preference parquet (file or folder); rows of split `train` are used."""
    out: Path
    """Folder of the finished student, which every rank may see; rank 0 writes it."""
    student: StudentConfig
    """Base model, adapter and length limits."""
    training: TrainingConfig
    """Objective, schedule, engine."""
    k: int
    """Names that the pairs' prompts ask for; kept with the student."""
    seed: int
    """Seed of the adapter, the data order and dropout."""
    micro_batch_size: int = 1
    """Cases per forward pass and worker."""
    catalogue: Path | None = None
    """`catalogue.parquet` to keep with the student. It names the labels that `cft`, `rcft` and
    `sft` on the known answer compare."""
    candidates: Path | None = None
    """Parquet of `case_id` and `candidates` (ids of the catalogue), which `cft` and `rcft` compare
    instead of the candidates of the pairs."""
    lineage: Mapping[str, str] = field(default_factory=dict)
    """Ids of the inputs that the student is made from."""
    task: Task = DISEASE
    """The pairs' task: the input modality and the form of prompt and answer."""
    validation: ValidationPlan | None = None
    """Cases to rank on the way. The result is reported as `validation/...`, with a checkpoint if
    the plan has shares, and changes nothing about the training."""


@dataclass(frozen=True)
class TrainingSummary:
    """Summary of a finished run. Times are in seconds; `metrics` are the last step's."""

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
    """`Regime.advice` on the starting student's calibration, where the objective measures it."""
