"""Outputs of other configs that a step reads: pairs of a campaign, trials, answers of systems."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from mint_ray.config.config import Config
from mint_ray.config.evaluation import CompareConfig, SystemConfig
from mint_ray.config.load import parse_config
from mint_ray.config.training import TrialsConfig, WatchConfig
from mint_ray.errors import ConfigError
from mint_ray.evaluation.systems import VARIANTS
from mint_ray.tuning.space import overridden_tree, pair_variants, with_overrides

STUDENT = "student"
"""Word in `evaluation.systems` for the trained student."""

_MEMBER = "train member"
"""Beginning of the names of `trainings_of_members`."""

T = TypeVar("T")


@dataclass(frozen=True)
class ExtraInput:
    """Output of a step under another config."""

    step: str
    """Step that writes the output."""
    config: Config
    start: "ExtraInput | None" = None
    """Training whose finished student this config's training continues from. The setting
    `student.init_adapter` is still empty here: the step graph knows the folder; see `resolve`.
    None for the start of the step that reads the output, if that has one."""


def pairs_of_trials(config: Config) -> dict[str, ExtraInput]:
    """Return the preference pairs that a campaign needs besides the config's own.

    Raises:
        ConfigError: the search space is not legal; see `pair_variants`.
    """
    return {name: ExtraInput("prefer", each) for name, each in pair_variants(config).items()}


def required_trials(config: Config) -> dict[str, ExtraInput]:
    """Return `trainings_of_trials`, of which a choice needs at least two.

    Raises:
        ConfigError: there are none.
    """
    trials = trainings_of_trials(config)
    if not trials:
        raise ConfigError(
            "training.trials.learning_rates: expected at least two rates to choose from, found "
            "none; for example training.trials.learning_rates=[1e-4,3e-4,1e-3]"
        )
    return trials


def trainings_of_trials(config: Config) -> dict[str, ExtraInput]:
    """Return the short training of each learning rate of `training.trials`, by `trial_input`."""
    training = config.training
    if not training.trials.learning_rates:
        return {}
    limits = {"max_steps": training.max_steps, "max_tokens": training.max_tokens}
    shorter: dict[str, bool | int | float | str] = {
        f"training.{name}": math.ceil(training.trials.share * limit)
        for name, limit in limits.items()
        if limit is not None
    }
    plain = config.model_copy(
        update={
            "compare": CompareConfig(),
            "training": training.model_copy(
                update={"trials": TrialsConfig(), "watch": WatchConfig(), "members": 1}
            ),
        }
    )
    return {
        trial_input(rate): ExtraInput(
            "train", with_overrides(plain, {**shorter, "training.learning_rate": rate})
        )
        for rate in training.trials.learning_rates
    }


def trial_input(rate: float) -> str:
    """Return the name of the input with the training of a learning rate.

    >>> trial_input(0.0003)
    'train 0.0003'
    """
    return f"train {rate:g}"


def trainings_of_members(config: Config) -> dict[str, ExtraInput]:
    """Return the trainings whose weights the student has the mean of; none for a single training.

    The first one is the training that the config describes without `training.members`.
    """
    members = config.training.members
    if members == 1:
        return {}
    alone = with_overrides(config, {"training.members": 1})
    seeds = [config.training_seed + number for number in range(1, members)]
    configs = [alone, *(with_overrides(alone, {"training.seed": seed}) for seed in seeds)]
    return {
        f"{_MEMBER} {number} of {members}": ExtraInput("train", each)
        for number, each in enumerate(configs, start=1)
    }


def members_among(inputs: Mapping[str, T]) -> list[T]:
    """Return those inputs of a `train` step that are trainings of its members, in their order."""
    return [value for name, value in inputs.items() if name.startswith(_MEMBER)]


def required_answers(config: Config) -> dict[str, ExtraInput]:
    """Return `answers_of_systems`, of which a comparison needs at least one.

    Raises:
        ConfigError: no system is named, or one is not legal; see `system_configs`.
    """
    answers = answers_of_systems(config)
    if not answers:
        raise ConfigError(
            "compare.systems: expected at least one system, found none; "
            "configs/compare_phenopackets.yaml is an example"
        )
    return answers


def answers_of_systems(config: Config) -> dict[str, ExtraInput]:
    """Return the step with the answers of each compared system by the name of the input.

    It is `evaluate`, or `reason` for a system that is asked.

    Raises:
        ConfigError: a system is not legal; see `system_configs`.
    """
    outputs, systems = outputs_of_systems(config), config.compare.systems
    return {
        answers_input(name, systems[name]): output
        for name, output in outputs.items()
        if systems[name].compared
    }


def outputs_of_systems(config: Config) -> dict[str, ExtraInput]:
    """Return the last step of each system by its name: its answers, or its training.

    The training is that of a system that others only start from.

    Raises:
        ConfigError: a system is not legal; see `system_configs`.
    """
    configs, systems = system_configs(config), config.compare.systems

    def output(step: str, name: str) -> ExtraInput:
        start = systems[name].start_from
        return ExtraInput(step, configs[name], output("train", start) if start else None)

    return {
        name: output(_step_of(system) if system.compared else "train", name)
        for name, system in systems.items()
    }


def answers_input(name: str, system: SystemConfig) -> str:
    """Return the name of the input with the answers of a compared system."""
    return f"{_step_of(system)} {name}"


def _step_of(system: SystemConfig) -> str:
    """Return the step that writes the answers of a compared system."""
    return "reason" if system.asked else "evaluate"


def system_configs(config: Config) -> dict[str, Config]:
    """Return the config of each system by name, also of those that others only start from.

    Raises:
        ConfigError: an unknown setting or an illegal value, a name with a variant's ending, two
            systems of one name, or an unknown reference.
    """
    configs = {name: _config_of(config, name) for name in config.compare.systems}
    _check_shown(config, configs)
    return configs


def shown_names(system: str, config: Config, asked: bool = False) -> dict[str, str]:
    """Return the names that a comparison shows, by word of `evaluation.systems`, or by protocol.

    Args:
        system: name of the compared system.
        config: of this system.
        asked: whether the system is asked, and so has one name alone.
    """
    if asked:
        return {config.reasoning.protocol: system}
    words = config.evaluation.systems
    alone = len(words) == 1
    return {word: system if alone or word == STUDENT else word for word in words}


def _config_of(config: Config, name: str) -> Config:
    ranked = {"evaluation.systems": [STUDENT], "evaluation.controls": False}
    system = config.compare.systems[name]
    overrides = ranked | system.overrides
    origin = f"compare.systems.{name}"
    if system.asked and config.task == "tissue":
        raise ConfigError(
            f"{origin}: expected no reasoning.protocol with task=tissue, since it asks about notes"
        )
    try:
        tree = overridden_tree(config, overrides)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error
    del tree["compare"]  # a system is compared, and compares nothing itself
    return parse_config(tree | {"name": f"{config.name} {name}"}, origin=origin)


def _check_shown(config: Config, configs: dict[str, Config]) -> None:
    """Raise ConfigError unless all shown names are plain, differ, and include the named ones."""
    origin: dict[str, str] = {}
    for system, each in configs.items():
        settings = config.compare.systems[system]
        if not settings.compared:
            continue
        for name in shown_names(system, each, settings.asked).values():
            if name in origin:
                raise ConfigError(
                    f"compare.systems: expected every system once, but {origin[name]} and {system} "
                    f"both rank {name}; see evaluation.systems in their overrides"
                )
            if any(variant in name for variant in VARIANTS):
                raise ConfigError(
                    f"compare.systems.{name}: expected a name without {', '.join(VARIANTS)}, which "
                    "mark variants of a system"
                )
            origin[name] = system
    if origin and config.compare.reference not in origin:
        raise ConfigError(
            f"compare.reference: expected one of {', '.join(origin)} "
            f"(found {config.compare.reference!r})"
        )
    for name, weights in config.compare.contrasts.items():
        if unknown := [system for system in weights if system not in origin]:
            raise ConfigError(
                f"compare.contrasts.{name}: expected some of {', '.join(origin) or 'no systems'} "
                f"(found {', '.join(unknown)})"
            )
