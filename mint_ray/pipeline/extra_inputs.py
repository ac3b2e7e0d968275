"""Outputs of other configs that a step reads: pairs of a campaign, evaluations of systems."""

from dataclasses import dataclass

from mint_ray.config.config import Config
from mint_ray.config.evaluation import CompareConfig
from mint_ray.config.load import parse_config
from mint_ray.errors import ConfigError
from mint_ray.evaluation.systems import VARIANTS
from mint_ray.tuning.space import overridden_tree, pair_variants

STUDENT = "student"
"""Word in `evaluation.systems` for the trained student."""


@dataclass(frozen=True)
class ExtraInput:
    """An output that a step reads and that another config describes."""

    step: str
    """Step that writes the output."""
    config: Config
    start_from: str | None = None
    """Name of the extra input whose finished student is this config's `student.init_adapter`. Its
    folder exists only after its own steps have run, so that the setting is still empty here."""


def pairs_of_trials(config: Config) -> dict[str, ExtraInput]:
    """Return the preference pairs that a campaign needs besides the config's own.

    Raises:
        ConfigError: the search space is not legal; see `pair_variants`.
    """
    return {name: ExtraInput("prefer", each) for name, each in pair_variants(config).items()}


def evaluations_of_systems(config: Config) -> dict[str, ExtraInput]:
    """Return the evaluations of all compared systems, each after the one that it starts from.

    Raises:
        ConfigError: no system is named, or one is not legal; see `system_configs`.
    """
    if not config.compare.systems:
        raise ConfigError(
            "compare.systems: expected at least one system, found none; "
            "configs/compare_phenopackets.yaml is an example"
        )
    extras = {}
    for name, each in system_configs(config).items():
        start = config.compare.systems[name].start_from
        begins = None if start is None else evaluation_of(start)
        extras[evaluation_of(name)] = ExtraInput("evaluate", each, begins)
    return extras


def evaluation_of(system: str) -> str:
    """Return the name of the input with the evaluation of a compared system."""
    return f"evaluate {system}"


def system_configs(config: Config) -> dict[str, Config]:
    """Return the config of each compared system by name, each after the one that it starts from.

    The student of a system that starts from another one is not set in it; see `ExtraInput`.

    Raises:
        ConfigError: an unknown setting or an illegal value, a name that has a meaning of its own,
            two systems of one name, or an unknown reference.
    """
    compare = config.compare
    for name in compare.systems:
        if any(variant in name for variant in VARIANTS):
            raise ConfigError(
                f"compare.systems.{name}: expected a name without {', '.join(VARIANTS)}, which "
                "mark variants of a system"
            )
    configs = {name: _config_of(config, name) for name in compare.in_order()}
    _check_ranked(compare, {name: ranked_names(name, each) for name, each in configs.items()})
    return configs


def ranked_names(system: str, config: Config) -> list[str]:
    """Return the names under which the evaluation of a compared system is shown.

    The trained student has the name of the system, others keep their own.

    Args:
        system: name of the compared system.
        config: of this system.
    """
    return [system if word == STUDENT else word for word in config.evaluation.systems]


def _config_of(config: Config, name: str) -> Config:
    ranked = {"evaluation.systems": [STUDENT], "evaluation.controls": False}
    overrides = ranked | config.compare.systems[name].overrides
    origin = f"compare.systems.{name}"
    try:
        tree = overridden_tree(config, overrides)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error
    del tree["compare"]  # a system is compared, and compares nothing itself
    return parse_config(tree | {"name": f"{config.name} {name}"}, origin=origin)


def _check_ranked(compare: CompareConfig, ranked: dict[str, list[str]]) -> None:
    origin: dict[str, str] = {}
    for system, names in ranked.items():
        for name in names:
            if name in origin:
                raise ConfigError(
                    f"compare.systems: expected every system once, but {origin[name]} and {system} "
                    f"both rank {name}; see evaluation.systems in their overrides"
                )
            origin[name] = system
    if origin and compare.reference not in origin:
        raise ConfigError(
            f"compare.reference: expected one of {', '.join(origin)} (found {compare.reference!r})"
        )
