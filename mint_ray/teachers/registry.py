"""Registry of the functions that fit teachers, by `teacher.name`.

An entry names the task of the teacher and the function that fits it from a folder of cases. The
function loads what it needs (ontology, annotations, encoders); the registry loads nothing.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mint_ray.config.config import Config
from mint_ray.errors import ConfigError

Report = Callable[[dict[str, float]], None]
Fit = Callable[[Path, Config, Path, Report], dict[str, float]]
"""(folder of `cases.parquet` and `catalogue.parquet`, run, folder to write, report) to metrics."""


@dataclass(frozen=True)
class Fitter:
    """Location of the function that fits a teacher, and the task of the teacher."""

    task: str
    """`disease` or `tissue`."""
    module: str
    function: str
    """A `Fit` of that module."""
    check: str | None = None
    """Function of the module that raises ConfigError for settings that cannot work."""

    def load(self) -> Fit:
        """Import the module and return its function."""
        fit: Fit = getattr(importlib.import_module(self.module), self.function)
        return fit


FITTERS = {
    "fusion": Fitter("disease", "mint_ray.teachers.fusion.fit", "fit_fusion"),
    "neighbours": Fitter("disease", "mint_ray.teachers.neighbours.fit", "fit_neighbours"),
    "clip": Fitter("tissue", "mint_ray.teachers.clip.fit", "fit_clip", "check_settings"),
    "clip_fusion": Fitter("tissue", "mint_ray.teachers.clip.fit", "fit_clip", "check_settings"),
}


def find_fitter(config: Config) -> Fitter:
    """Return the fitter of `teacher.name`, after a check of the teacher's settings.

    Raises:
        ConfigError: no fitter has that name, it is for another task, or its settings do not fit
            each other.
    """
    name = config.teacher.name
    if name not in FITTERS:
        raise ConfigError(f"teacher.name={name}: expected one of {', '.join(FITTERS)}")
    fitter = FITTERS[name]
    if fitter.task != config.task:
        fitting = [known for known, entry in FITTERS.items() if entry.task == config.task]
        raise ConfigError(
            f"teacher.name={name} is a teacher of task {fitter.task}, but task={config.task}: "
            f"expected {' or '.join(fitting)}"
        )
    if fitter.check:
        getattr(importlib.import_module(fitter.module), fitter.check)(config.teacher)
    return fitter


def epochs_of(config: Config) -> int:
    """Return the number of reports that a fit makes, one per epoch."""
    clip = config.teacher.clip
    if config.teacher.name == "fusion":
        return config.teacher.epochs
    if config.teacher.name == "neighbours":
        return 1
    return {"none": 0, "probe": 1, "contrastive": clip.epochs}[clip.fit]
