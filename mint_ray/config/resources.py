"""Resources."""

from typing import Annotated

from pydantic import Field

from mint_ray.config.base import Section

WorkerRange = Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=1)], int]


class ResourcesConfig(Section):
    """Where work runs. Changes no result beyond floating-point order, but that `micro_batch_size`
    matters under `training.loss_normalisation: per_microbatch` and to the draws of dropout."""

    ray_address: str | None = None
    """Ray cluster (`auto` for a head on this machine); empty for RAY_ADDRESS, else a new local
    one."""
    teacher_workers: int = Field(1, ge=1)
    """Ray Train workers of the teacher's fit."""
    train_workers: WorkerRange = 1
    """Ray Train workers of the student: a number, or [least, most] where a run may go on with
    what the cluster has (`training.deepspeed: off` only)."""
    micro_batch_size: int = Field(1, ge=1)
    """Cases per forward pass and worker."""
    cpus_per_worker: float = Field(1, gt=0)
    """CPUs of each train worker or actor."""
    gpus_per_worker: float = Field(0, ge=0)
    """GPUs of each train worker or actor."""
    threads_per_worker: int | None = Field(None, ge=1)
    """Torch CPU threads of each train worker or actor; default `cpus_per_worker`."""
    actors: int = Field(2, ge=1)
    """Most actors of an inference stage."""
    max_failures: int = Field(2, ge=0)
    """Restarts of a training run after a worker is lost."""


class TrackingConfig(Section):
    """MLflow."""

    enabled: bool = True
    """Record runs."""
    uri: str | None = None
    """Tracking store and registry; default `MLFLOW_TRACKING_URI` where that is set, else
    `sqlite:///<store>/mlflow.db`."""
    experiment: str = "mint_ray"
    """Experiment name."""
