"""Settings of the places where work runs, and of tracking."""

from typing import Annotated

from pydantic import Field

from mint_ray.config.base import Section

WorkerRange = Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=1)], int]


class ResourcesConfig(Section):
    """Workers, CPUs and GPUs.

    These settings change no result beyond floating-point order, with one exception:
    `micro_batch_size` matters under `training.loss_normalisation: per_microbatch` and for the draws
    of dropout.
    """

    ray_address: str | None = None
    """Address of the Ray cluster; `auto` for a head on this machine. Empty for RAY_ADDRESS, or a
    new local Ray if that is not set."""
    teacher_workers: int = Field(1, ge=1)
    """Number of Ray Train workers that fit the teacher."""
    train_workers: WorkerRange = 1
    """Number of Ray Train workers that train the student, or [least, most] if a run may continue
    with the workers that the cluster has (only with `training.deepspeed: off`)."""
    micro_batch_size: int = Field(1, ge=1)
    """Number of cases per forward pass and worker."""
    cpus_per_worker: float = Field(1, gt=0)
    """CPUs of each train worker or actor."""
    gpus_per_worker: float = Field(0, ge=0)
    """GPUs of each train worker or actor."""
    threads_per_worker: int | None = Field(None, ge=1)
    """Torch CPU threads of each train worker or actor. Empty for `cpus_per_worker`, rounded."""
    actors: int = Field(2, ge=1)
    """Largest number of actors of an inference stage."""
    max_failures: int = Field(2, ge=0)
    """Largest number of restarts of a training run after a worker is lost."""


class TrackingConfig(Section):
    """Records of runs in MLflow."""

    enabled: bool = True
    """Record runs."""
    uri: str | None = None
    """Address of the tracking store and registry. Empty for `MLFLOW_TRACKING_URI`, or
    `sqlite:///<store>/mlflow.db` if that is not set."""
    experiment: str = "mint_ray"
    """Name of the MLflow experiment."""
