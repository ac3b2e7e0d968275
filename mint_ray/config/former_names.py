"""Former names of settings, which are accepted for one release and still used in step hashes."""

import copy
import logging
from collections.abc import Mapping
from typing import Any

from mint_ray.errors import ConfigError

logger = logging.getLogger(__name__)

FORMER_NAMES: dict[str, str] = {
    "cases.images.min_label_groups": "cases.min_label_groups",
    "compare.crossovers": "compare.contrasts",
    "preferences.k": "preferences.chosen_size",
    "preferences.q": "preferences.rejected_size",
    "preferences.windows": "preferences.rejected_sets",
    "serving.text.also": "serving.text.more_models",
    "serving.vision.also": "serving.vision.more_models",
}
"""Today's dotted name of a setting, by its former one."""

NEWER_SETTINGS: tuple[str, ...] = (
    "cases.answers",
    "cases.images.label_names",
    "cases.images.levels",
    "cases.note_columns",
    "cases.recombined_annotation_share",
    "cases.recombined_per_disease",
    "cases.recombined_rendering",
    "cases.rendering",
    "cases.renderings",
    "cases.simulated_per_disease",
    "cases.without_publication",
    "compare.contrasts",
    "evaluation.decoding",
    "evaluation.fused_cases",
    "evaluation.fused_look_ups",
    "evaluation.larger_model",
    "evaluation.sampling",
    "knowledge.more_names",
    "knowledge.pooled_lines",
    "knowledge.release",
    "preferences.chosen",
    "preferences.max_per_group",
    "preferences.rejected",
    "promotion.ranking",
    "student.adapter",
    "teacher.endpoint",
    "teacher.faces",
    "teacher.gestaltmml",
    "teacher.options",
    "teacher.reports",
    "teacher.scores",
    "training.answers",
    "training.averaged_share",
    "training.candidates",
    "training.label_smoothing",
    "training.max_tokens",
    "training.members",
    "training.odds_over",
    "training.rcft_targets",
    "training.seed",
    "training.trainer",
    "training.trials",
    "training.watch",
)
"""Settings that joined after steps had been hashed; hashed only where they are not the default."""

_SPACE = "tune.space"


def current_name(name: str) -> str:
    """Return today's name of a setting, which may be given by a former one.

    >>> current_name("preferences.q"), current_name("k"), current_name("seed")
    ('preferences.rejected_size', 'preferences.chosen_size', 'seed')
    """
    if name in FORMER_NAMES:
        return FORMER_NAMES[name]
    for former, current in FORMER_NAMES.items():
        if former.count(".") == 1 and former.endswith(f".{name}"):
            return current
    return name


def rename_former(tree: dict[str, Any]) -> None:
    """Give the settings of a plain config tree today's names, and log a warning for each.

    Raises:
        ConfigError: a setting is there under both names.
    """
    for former, current in FORMER_NAMES.items():
        section, name = _section_of(tree, former)
        new_section, new = _section_of(tree, current)
        if section is None or new_section is None or name not in section:
            continue
        if new in new_section:
            raise ConfigError(f"{former} is the former name of {current}: expected one of the two")
        new_section[new] = section.pop(name)
        warn(former)


def warn(former: str) -> None:
    """Log that a setting was given by its former name."""
    logger.warning(
        "%s is now called %s; the former name works until the next release",
        former,
        FORMER_NAMES[former],
    )


def under_former_names(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a config tree with the former names, under which steps are hashed.

    A step that was finished before a setting was renamed thus stays finished.
    """
    hashed = copy.deepcopy(dict(tree))
    for former, current in FORMER_NAMES.items():
        section, name = _section_of(hashed, current)
        former_section, former_name = _section_of(hashed, former)
        if section is not None and former_section is not None and name in section:
            former_section[former_name] = section.pop(name)
    section, name = _section_of(hashed, _SPACE)
    if section is not None and isinstance(section.get(name), dict):
        former_of = {current: former for former, current in FORMER_NAMES.items()}
        section[name] = {former_of.get(key, key): item for key, item in section[name].items()}
    return hashed


def without_newer_defaults(tree: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a config tree without the newer settings that have their default.

    A step that was finished before a setting existed thus stays finished.

    Args:
        tree: the config as plain values.
        defaults: a config of defaults as plain values.
    """
    hashed = copy.deepcopy(dict(tree))
    for setting in NEWER_SETTINGS:
        section, name = _section_of(hashed, setting)
        default, _ = _section_of(defaults, setting)
        if section is not None and default is not None and section.get(name) == default.get(name):
            section.pop(name, None)
    return hashed


def _section_of(tree: Mapping[str, Any], dotted: str) -> tuple[dict[str, Any] | None, str]:
    """Return the section that would hold a setting, None if it is absent, and the last name."""
    *sections, name = dotted.split(".")
    node: Any = tree
    for section in sections:
        node = node.get(section) if isinstance(node, Mapping) else None
    return (node if isinstance(node, dict) else None), name
