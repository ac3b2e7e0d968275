"""The specification of a training run: inputs, settings, and how its steps are cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mint_ray.config.evaluation import EvaluationConfig
from mint_ray.config.training import StudentConfig, TrainingConfig
from mint_ray.tasks.task import DISEASE, Task


@dataclass(frozen=True)
class ValidationPlan:
    """What is ranked while a student trains, when and how.

    `cases` has the columns case_id, group_id, label_id and what the student sees; `shares` are
    the parts of the run's steps after which it is ranked, besides its end; `folder` gets a file of
    answers for each time.
    """

    cases: Path
    catalogue: Path
    shares: Sequence[float]
    folder: Path
    evaluation: EvaluationConfig

    def steps(self, total: int) -> list[int]:
        """Return the steps after which cases are ranked, ascending; the last one is `total`."""
        early = {max(1, round(share * total)) for share in self.shares}
        return [*sorted(step for step in early if step < total), total]


@dataclass(frozen=True)
class TrainingSpec:
    """What `trainer.train` is asked for."""

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
    lineage: Mapping[str, str] = field(default_factory=dict)
    """Ids of what the student is made from."""
    task: Task = DISEASE
    """What the pairs ask."""
    validation: ValidationPlan | None = None
    """Cases to rank on the way. The result is reported with a checkpoint, as `validation/...`, and
    changes nothing about the training."""
