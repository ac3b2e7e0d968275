"""Number of trainings that fit the cluster at a time, computed before any of them starts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mint_ray.config.resources import ResourcesConfig
from mint_ray.errors import ConfigError

_SLACK = 1e-6  # resources of 0.1 add up to a little less than they should


@dataclass(frozen=True)
class Slots:
    """Number of trainings at a time, with the reason in words."""

    count: int
    why: str


def training_slots(
    nodes: Sequence[Mapping[str, float]], resources: ResourcesConfig, limit: int | None = None
) -> Slots:
    """Return how many trainings can have all of their workers at the same time.

    A worker is on one node, and a worker with a part of a GPU on one GPU. The workers of one
    training may be on several nodes. The process that drives a training takes no CPU, so that
    drivers never hold CPUs that workers wait for.

    Args:
        nodes: `CPU` and `GPU` of every node.
        resources: workers of a training, with the CPUs and GPUs of each.
        limit: largest number that is wanted; None for no limit.

    Raises:
        ConfigError: not even one training fits.
    """
    needed = fewest_workers(resources)
    room = sum(_workers_on(node, resources) for node in nodes)
    each = _workers_in_words(needed, resources)
    has = f"{_total(nodes)} have room for {room} worker(s)"
    if room < needed:
        raise ConfigError(
            f"no training fits the cluster: each needs {each} (resources.train_workers, "
            f"cpus_per_worker, gpus_per_worker), {has}"
        )
    fitting = room // needed
    count = min(fitting, limit) if limit else fitting
    why = f"each needs {each}, {has}"
    if limit and limit < fitting:
        why += f"; limited by tune.max_concurrent_trials={limit}"
    elif limit and limit > fitting:
        why += f", so tune.max_concurrent_trials={limit} is too many"
    return Slots(count, why)


def fewest_workers(resources: ResourcesConfig) -> int:
    """Return the number of workers with which a training of a student may start."""
    workers = resources.train_workers
    return workers if isinstance(workers, int) else workers[0]


def _workers_in_words(count: int, resources: ResourcesConfig) -> str:
    gpus = f" and {resources.gpus_per_worker:g} GPU" if resources.gpus_per_worker else ""
    return f"{count} worker(s) of {resources.cpus_per_worker:g} CPU{gpus}"


def _total(nodes: Sequence[Mapping[str, float]]) -> str:
    total = " and ".join(
        f"{sum(node.get(kind, 0) for node in nodes):g} {kind}" for kind in ("CPU", "GPU")
    )
    return f"{len(nodes)} node(s) with {total}"


def _workers_on(node: Mapping[str, float], resources: ResourcesConfig) -> int:
    by_cpu = math.floor(node.get("CPU", 0) / resources.cpus_per_worker + _SLACK)
    share, gpus = resources.gpus_per_worker, math.floor(node.get("GPU", 0))
    if not share:
        return by_cpu
    by_gpu = (
        gpus * math.floor(1 / share + _SLACK) if share < 1 else math.floor(gpus / share + _SLACK)
    )
    return min(by_cpu, by_gpu)


def check_worker_fits(nodes: Sequence[Mapping[str, float]], resources: ResourcesConfig) -> None:
    """Check that a node has what one worker or actor asks for; Ray would wait for it for ever.

    Args:
        nodes: `CPU` and `GPU` of every node.
        resources: CPUs and GPUs of a worker.

    Raises:
        ConfigError: no node has as much; the message names setting, wanted and present.
    """
    for name, kind in (("gpus_per_worker", "GPU"), ("cpus_per_worker", "CPU")):
        check_node_has(nodes, f"resources.{name}", float(getattr(resources, name)), kind)


def check_node_has(
    nodes: Sequence[Mapping[str, float]], setting: str, wanted: float, kind: str
) -> None:
    """Raise ConfigError if no node has the wanted CPUs or GPUs (`kind`) of a setting."""
    present = max((node.get(kind, 0.0) for node in nodes), default=0.0)
    if wanted > present + _SLACK:
        raise ConfigError(
            f"{setting}={wanted:g}: expected a node with {wanted:g} {kind}, found at most "
            f"{present:g} {kind} on {len(nodes)} node(s); set {setting} to at most {present:g}, or "
            "use a machine that has as much"
        )


def check_workers_fit(
    nodes: Sequence[Mapping[str, float]], resources: ResourcesConfig, setting: str, workers: int
) -> None:
    """Check that all workers of a training have room at the same time.

    Args:
        nodes: `CPU` and `GPU` of every node.
        resources: CPUs and GPUs of a worker.
        setting: name of the setting of `resources` with the number of workers.
        workers: that number.

    Raises:
        ConfigError: Ray would wait for the others for ever.
    """
    room = sum(_workers_on(node, resources) for node in nodes)
    if room < workers:
        raise ConfigError(
            f"resources.{setting}={workers}: expected room for "
            f"{_workers_in_words(workers, resources)}, found room for {room} on {_total(nodes)}; "
            f"set resources.{setting} to at most {room}, or lower resources.cpus_per_worker or "
            "gpus_per_worker"
        )
