"""Configs of the trials of a search space: chosen settings, and settings that follow."""

import math
from collections.abc import Mapping
from itertools import islice, product
from typing import Any

from pydantic import ValidationError

from mint_ray.config.config import Config
from mint_ray.config.tune import Choice, Value
from mint_ray.errors import ConfigError

Choices = dict[str, Value]
"""Dotted name of a searched setting to its value in a trial."""

PAIRS = "prefer"
"""Name of the input with the config's own preference pairs."""
RANK, ALPHA, RSLORA = "student.lora_rank", "student.lora_alpha", "student.rslora"

_COMBINATIONS = 1000  # of other values, tried before a value is called illegal


def lookup(config: Config, name: str) -> Any:
    """Return a setting by its dotted name.

    Raises:
        AttributeError: there is no such setting.
    """
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def own_choices(config: Config) -> Choices:
    """Return the config's own values of the searched settings: those of trial 0."""
    return {name: lookup(config, name) for name in config.tune.space}


def overrides_of(config: Config, choices: Mapping[str, Value]) -> Choices:
    """Return the settings that a trial changes: the chosen ones, and those that must follow.

    If the rank is searched, `tune.scale_alpha` sets the multiplier of the update to
    s0 sqrt(r0 / r), with r0 and s0 the config's own rank and multiplier: the scaling of rsLoRA
    (arXiv 2312.03732), anchored where the config is.
    """
    changed = dict(choices)
    if scales_alpha(config):
        student = config.student
        scale = student.lora_alpha / (
            math.sqrt(student.lora_rank) if student.rslora else student.lora_rank
        )
        changed |= {ALPHA: scale * math.sqrt(student.lora_rank), RSLORA: True}
    return changed


def scales_alpha(config: Config) -> bool:
    """Return whether trials scale LoRA's alpha with the rank."""
    space = config.tune.space
    return config.tune.scale_alpha and RANK in space and not {ALPHA, RSLORA} & set(space)


def with_overrides(config: Config, overrides: Mapping[str, Value]) -> Config:
    """Return the config with some settings changed.

    Raises:
        ConfigError: the changed settings are not legal, alone or together.
    """
    tree = overridden_tree(config, overrides)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("; ".join(item["msg"] for item in error.errors())) from error


def overridden_tree(config: Config, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config as plain values with some settings changed, which may not be legal.

    Raises:
        ConfigError: a name leads into a setting that is no section.
    """
    tree = config.model_dump(mode="json")
    for name, value in overrides.items():
        *sections, leaf = name.split(".")
        node = tree
        for section in sections:
            if node.get(section) is None:  # an optional section that the config does not have
                node[section] = {}
            node = node[section]
            if not isinstance(node, dict):
                raise ConfigError(f"{name}: no such setting, since {section} is not a section")
        node[leaf] = value
    return tree


def is_legal(config: Config, choices: Mapping[str, Value]) -> bool:
    """Return whether a run could have these choices, all together."""
    try:
        with_overrides(config, overrides_of(config, choices))
    except ConfigError:
        return False
    return True


def check_space(config: Config) -> None:
    """Raise ConfigError if the space has a value that no run could have, whatever the others are.

    Raises:
        ConfigError: an unknown setting or an illegal value, with what is allowed.
    """
    for name in config.tune.space:
        _refuse_unknown(config, name)
    for name, dimension in config.tune.space.items():
        for value in dimension.ends:
            try:
                with_overrides(config, {name: value})
            except ConfigError as error:
                if not _legal_with_others(config, name, value):
                    raise ConfigError(f"tune.space.{name}: value {value!r}: {error}") from error
    if config.student.init_adapter and any(n.startswith("student.lora") for n in config.tune.space):
        raise ConfigError(
            "tune.space searches student.lora_*, but student.init_adapter brings an adapter with "
            "settings of its own; expected one of the two"
        )


def _legal_with_others(config: Config, name: str, value: Value) -> bool:
    others = {n: d.ends for n, d in config.tune.space.items() if n != name}
    combinations = islice(product(*others.values()), _COMBINATIONS)
    return any(
        is_legal(config, {name: value, **dict(zip(others, values, strict=True))})
        for values in combinations
    )


def _refuse_unknown(config: Config, name: str) -> None:
    try:
        value = lookup(config, name)
    except AttributeError:
        section = name.rpartition(".")[0]
        known = ", ".join(type(lookup(config, section)).model_fields) if section else ""
        raise ConfigError(
            f"tune.space.{name}: no such setting; known in {section}: {known}"
        ) from None
    if not isinstance(value, Value):
        raise ConfigError(
            f"tune.space.{name}: expected a setting that is a number or a word, found "
            f"{type(value).__name__}"
        )


def remarks(config: Config) -> list[str]:
    """Return remarks about the space for readers of the results."""
    lines = []
    if scales_alpha(config):
        lines.append(
            "LoRA's updates are scaled by 1 / sqrt(rank) (rsLoRA), anchored at the config's own "
            "rank (tune.scale_alpha)"
        )
    elif RANK in config.tune.space and not config.student.rslora and ALPHA not in config.tune.space:
        lines.append(
            "the rank is searched under a fixed student.lora_alpha: updates are scaled by 1 / rank "
            "(tune.scale_alpha=false)"
        )
    if RANK in config.tune.space and "training.learning_rate" not in config.tune.space:
        lines.append(
            "rank and learning rate act on one another; the rate is not searched, so that a rank "
            "may win by learning faster"
        )
    return lines


def pairs_input(config: Config, choices: Mapping[str, Value]) -> str:
    """Return the name of the input with a trial's preference pairs: `PAIRS`, or a variant's."""
    defaults = own_choices(config)
    changed = {
        name: value
        for name, value in choices.items()
        if name.startswith("preferences.") and value != defaults[name]
    }
    return " ".join([PAIRS, *(f"{name}={value}" for name, value in sorted(changed.items()))])


def pair_variants(config: Config) -> dict[str, Config]:
    """Return configs whose preference pairs a campaign needs besides its own, by `pairs_input`.

    Raises:
        ConfigError: the space is not legal; see `check_space`.
    """
    check_space(config)
    dimensions = {
        name: dimension.values
        for name, dimension in config.tune.space.items()
        if name.startswith("preferences.") and isinstance(dimension, Choice)
    }
    variants = {}
    for values in product(*dimensions.values()):
        choices = dict(zip(dimensions, values, strict=True))
        if is_legal(config, choices):
            variants[pairs_input(config, choices)] = with_overrides(config, choices)
    return {name: variant for name, variant in variants.items() if name != PAIRS}


def shown(value: object) -> str:
    """Return a setting's value for people; numbers have three significant digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
