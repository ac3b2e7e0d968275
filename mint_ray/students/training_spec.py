"""What a training run was asked for."""

from dataclasses import dataclass
from pathlib import Path

from mint_ray.config.training import StudentConfig, TrainingConfig
from mint_ray.tasks.task import DISEASE, Task


@dataclass(frozen=True)
class Settings:
    """The arguments of `trainer.train` that decide its result, and how its steps are cut."""

    student: StudentConfig
    training: TrainingConfig
    k: int
    seed: int
    micro_batch_size: int
    catalogue: Path | None
    task: Task = DISEASE
