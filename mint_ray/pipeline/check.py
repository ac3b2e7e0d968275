"""Checks of a whole config against the teachers and search spaces that exist."""

from collections.abc import Sequence
from pathlib import Path

from mint_ray.config.config import Config
from mint_ray.config.load import load_config
from mint_ray.errors import ConfigError
from mint_ray.evaluation.systems import LOOK_UPS
from mint_ray.pipeline.extra_inputs import system_configs
from mint_ray.teachers.registry import known_teachers
from mint_ray.tuning.space import check_space


def load_run(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config with `load_config`, then check it with `check_config`.

    Raises:
        ConfigError: from either.
    """
    config = load_config(path, overrides)
    check_config(config)
    return config


def check_config(config: Config) -> None:
    """Raise ConfigError if a setting names something that no layer provides.

    These checks are not part of the config's own validation, since the config knows neither
    teachers, whose registry is open to a user's own, nor how a search space is applied. A search
    space is checked only if the config has one: the default one need not fit every config.

    Raises:
        ConfigError: an unknown teacher, systems of another task, a compared system that cannot be
            made, or a search space that no trial could use.
    """
    _check_names(config)
    for name, system in system_configs(config).items():
        try:
            _check_names(system)
        except ConfigError as error:
            raise ConfigError(f"compare.systems.{name}: {error}") from error
    if config.promotion.ranking == "fused" and config.task != "disease":
        raise ConfigError(
            "promotion.ranking=fused joins a student with look-ups on the findings of notes, but "
            f"task={config.task}: expected promotion.ranking=student"
        )
    if "tune" in config.model_fields_set:
        check_space(config)


def _check_names(config: Config) -> None:
    """Raise ConfigError if the teacher is unknown, or a look-up does not fit the task."""
    name, known = config.teacher.name, known_teachers()
    if name not in known:
        raise ConfigError(f"teacher.name: expected one of {', '.join(known)} (found {name!r})")
    fitting = {"disease": {*LOOK_UPS, "fused"}, "gene": {"neighbours"}}.get(config.task, set())
    look_ups = sorted(({*LOOK_UPS, "fused"} & {*config.evaluation.systems}) - fitting)
    if look_ups:
        raise ConfigError(
            f"evaluation.systems: {', '.join(look_ups)} rank diseases by the terms of patients, "
            f"but task={config.task}: leave them out"
        )
