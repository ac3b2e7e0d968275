"""Registry of the functions that fit teachers, by `teacher.name`.

An entry names the tasks of the teacher and the function that fits it from a folder of cases. The
function loads what it needs (ontology, annotations, encoders); the registry loads nothing. Other
packages add teachers by entry points, see `TeacherPlugin`.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from mint_ray.config.config import Config
from mint_ray.errors import ConfigError
from mint_ray.teachers.base import Fit, find_plugin, plugin_names

DISEASE, TISSUE = ("disease",), ("tissue",)
NOTES = (*DISEASE, "gene")
ALL = (*NOTES, "own", *TISSUE)


def _nothing_to_check(config: Config) -> None:
    return


def _one_report(config: Config) -> int:
    return 1


@dataclass(frozen=True)
class Fitter:
    """Access to the function that fits a teacher, and facts about the teacher."""

    tasks: tuple[str, ...]
    """`disease`, `tissue`, or both."""
    load: Callable[[], Fit]
    """Function that imports the fit."""
    check: Callable[[Config], None] = _nothing_to_check
    """Function that raises ConfigError for settings that cannot work."""
    reports: Callable[[Config], int] = _one_report
    """Function that returns the number of reports that a fit makes, one per epoch."""
    recorded: bool = False
    """True if the scores of cases are made in the fit, so that no changed case can be scored."""
    reads_reports: bool = True
    """False if the teacher takes no notice of laboratory reports."""


def _attribute(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"mint_ray.teachers.{module}"), name)


def _check_clip(config: Config) -> None:
    _attribute("clip.fit", "check_settings")(config.teacher)


def _epochs_of_clip(config: Config) -> int:
    clip = config.teacher.clip
    return {"none": 0, "probe": 1, "contrastive": clip.epochs}[clip.fit]


def _epochs_of_gestaltmml(config: Config) -> int:
    settings = config.teacher.gestaltmml
    return settings.epochs if settings.fit == "train" else 1


_CLIP = Fitter(TISSUE, partial(_attribute, "clip.fit", "fit_clip"), _check_clip, _epochs_of_clip)

FITTERS = {
    "fusion": Fitter(
        DISEASE,
        partial(_attribute, "fusion.fit", "fit_fusion"),
        reports=lambda config: config.teacher.epochs,
        reads_reports=False,
    ),
    "knowledge": Fitter(
        DISEASE, partial(_attribute, "knowledge.fit", "fit_knowledge"), reads_reports=False
    ),
    "stacked": Fitter(
        DISEASE,
        partial(_attribute, "stacked.fit", "fit_stacked"),
        reports=lambda config: int(_attribute("stacked.fit", "STEPS")),
    ),
    "neighbours": Fitter(
        NOTES, partial(_attribute, "neighbours.fit", "fit_neighbours"), reads_reports=False
    ),
    "clip": _CLIP,
    "clip_fusion": _CLIP,
    "gestaltmml": Fitter(
        DISEASE,
        partial(_attribute, "gestaltmml.fit", "fit_gestaltmml"),
        reports=_epochs_of_gestaltmml,
        reads_reports=False,
    ),
    "endpoint": Fitter(
        ALL,
        partial(_attribute, "endpoint.fit", "fit_endpoint"),
        lambda config: _attribute("endpoint.fit", "check_settings")(config),
        lambda config: 100,
        recorded=True,
    ),
    "scores": Fitter(ALL, partial(_attribute, "scores.fit", "fit_scores"), recorded=True),
}
"""The package's own teachers."""


def known_teachers() -> tuple[str, ...]:
    """Return the names that `teacher.name` may have: the package's own, and those of others."""
    return tuple(dict.fromkeys((*FITTERS, *plugin_names())))


def find_fitter(config: Config) -> Fitter:
    """Return the fitter of `teacher.name`, after a check of the teacher's settings.

    Raises:
        ConfigError: no fitter has that name, it is for another task, or its settings do not fit
            each other.
        TeacherError: the teacher is that of another package, which cannot be loaded.
    """
    name, fitter = config.teacher.name, _fitter_of(config)
    if config.task not in fitter.tasks:
        fitting = [known for known, entry in FITTERS.items() if config.task in entry.tasks]
        raise ConfigError(
            f"teacher.name={name} is a teacher of task {' or '.join(fitter.tasks)}, but "
            f"task={config.task}: expected {' or '.join(fitting)}"
        )
    fitter.check(config)
    return fitter


def epochs_of(config: Config) -> int:
    """Return the number of reports that a fit makes, one per epoch."""
    return _fitter_of(config).reports(config)


def misses_reports(config: Config) -> bool:
    """Return whether the cases have laboratory reports, of which the teacher takes no notice."""
    in_report = config.cases.modalities == "laboratory_in_report"
    return in_report and not _fitter_of(config).reads_reports


def is_recorded(config: Config) -> bool:
    """Return whether the teacher can score the run's cases only as they are; see `Fitter`."""
    return _fitter_of(config).recorded


def _fitter_of(config: Config) -> Fitter:
    name = config.teacher.name
    if name in FITTERS:
        return FITTERS[name]
    plugin = find_plugin(name)
    if plugin is None:
        raise ConfigError(f"teacher.name={name}: expected one of {', '.join(known_teachers())}")
    return Fitter(
        plugin.tasks,
        lambda: plugin.fit,
        plugin.check or _nothing_to_check,
        plugin.reports or _one_report,
        plugin.recorded,
    )
