"""Settings that came after steps were finished without them; their defaults are not hashed."""

import copy
from collections.abc import Mapping
from typing import Any, Final

LATER_SETTINGS: Final[Mapping[str, Any]] = {
    "cases.images.levels": None,
    "cases.images.label_names": {},
}
"""Default of each such setting as plain data, by its dotted name."""


def without_later_defaults(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a config tree without the later settings that have their default.

    A step that was finished before a setting existed thus stays finished.
    """
    hashed = copy.deepcopy(dict(tree))
    for dotted, default in LATER_SETTINGS.items():
        *sections, name = dotted.split(".")
        node: Any = hashed
        for section in sections:
            node = node.get(section, {})
        if name in node and node[name] == default:
            del node[name]
    return hashed
