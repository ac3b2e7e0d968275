"""Meaning of the levels of a folder of images: split, label and group."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from mint_ray.cases.schema import Split
from mint_ray.config.cases import ImagesConfig
from mint_ray.errors import DataError

Level = Literal["split", "label", "group", "skip"]
Folders = tuple[str, ...]  # names of the folders above a file, from the top

_SPLITS: Final[Mapping[str, Split]] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_FILLING = r"[\s_.-]*(?:set|data|dataset|split|images?|imgs?|tiles?|patches|samples?)?[\s_.-]*\d*"
_SPLIT = re.compile(rf"({'|'.join(sorted(_SPLITS, key=len, reverse=True))}){_FILLING}")
_NUMBER = re.compile(r"(?:class|label|category|cls)?[\s_.-]*\d+", re.IGNORECASE)
# Magnifications, resolutions and levels of a pyramid: "40X", "x20", "0.5mpp", "level_1".
_SCALE = re.compile(
    r"(?:x\s*\d+(?:[.,]\d+)?|(?:mag(?:nification)?[\s_-]*)?\d+(?:[.,]\d+)?\s*(?:x|×)"
    r"|(?:mag(?:nification)?|level|mpp|scale|zoom)[\s_.-]*\d+(?:[.,]\d+)?x?"
    r"|\d+(?:[.,]\d+)?[\s_-]*(?:mpp|(?:um|µm|μm|microns?)(?:[\s_-]*(?:per[\s_-]*)?(?:px|pixel))?))"
)
_WRAPPER = re.compile(
    r"(?:all|raw|the)?[\s_-]*(?:images?|imgs?|tiles?|patches|data|dataset|photos|samples)"
)
_PARTS = re.compile(
    r"(?:(?:binary|nuclei|nuclear|instance)?[\s_-]*masks?|annotations?|overlays?|ground[\s_-]*truths?|gt|segmentations?)"
)
_DEEPEST_SPLIT = 2
_SHOWN = 4


class Place(NamedTuple):
    """Label, group and split of a file, as its folders state them; None where none does."""

    label: str | None
    group: str | None
    split: str | None


def split_of(name: str) -> Split | None:
    """Return the split that a folder is named after: `Train`, `val_images`, `testing`."""
    match = _SPLIT.fullmatch(name.casefold())
    return None if match is None else _SPLITS[match[1]]


def place_of(folders: Folders, levels: Sequence[Level]) -> Place:
    """Return what the folders above a file stand for; deeper folders count for nothing."""
    named = dict(zip(levels, folders, strict=False))
    return Place(named.get("label"), named.get("group"), named.get("split"))


def read_levels(
    root: Path, parents: Collection[Folders], config: ImagesConfig
) -> tuple[Level, ...]:
    """Return the meaning of each level of folders, as configured or by their names.

    Args:
        root: the folder, for messages.
        parents: names of the folders above each file.
        config: may give the levels, or names to labels that are numbers.

    Raises:
        DataError: the folders can be read in several ways, or the labels are numbers without names.
    """
    if config.levels is not None:
        return config.levels
    depth = max(map(len, parents))
    beside = {n for level in range(depth) for n in _names_at(parents, level) if _is(_PARTS, {n})}
    if beside:
        raise _unclear(root, parents, f"{_some(beside)} would be read as tissue; move it elsewhere")
    skipped = _levels_without_meaning(parents)
    levels = _levels_by_names(root, {_without(folders, skipped) for folders in parents} - {()})
    for level in skipped:
        levels = (*levels[:level], "skip", *levels[level:])
    label, group = levels.index("label"), levels.index("group")
    unnamed = _names_at(parents, label) - set(config.label_names)
    if unnamed and all(_NUMBER.fullmatch(name) for name in unnamed):
        raise _unclear(root, parents, f"the labels of level {label + 1} would be numbers")
    if _are_swapped(parents, label, group):
        raise _unclear(
            root,
            parents,
            f"the names of level {group + 1} stand below several folders of level {label + 1}, so "
            "that either could be the label",
        )
    return levels


def _levels_without_meaning(parents: Collection[Folders]) -> list[int]:
    """Return the levels that name a magnification, or are one folder around all others."""
    depth = max(map(len, parents))
    scales = [level for level in range(depth) if _is(_SCALE, _names_at(parents, level))]
    first = next((level for level in range(depth) if level not in scales), depth)
    around = _names_at(parents, first)
    is_wrapper = len(around) == 1 and _is(_WRAPPER, around) and first + 1 < depth
    return sorted([*scales, first] if is_wrapper else scales)


def _is(pattern: re.Pattern[str], names: Collection[str]) -> bool:
    return bool(names) and all(pattern.fullmatch(name.casefold().strip()) for name in names)


def _without(folders: Folders, levels: Collection[int]) -> Folders:
    return tuple(name for level, name in enumerate(folders) if level not in levels)


def _levels_by_names(root: Path, parents: Collection[Folders]) -> tuple[Level, ...]:
    for level in range(_DEEPEST_SPLIT + 1):
        names = _names_at(parents, level)
        splits = {name for name in names if split_of(name)}
        if names and splits == names:
            return _around_split(root, parents, level)
        if splits and (level == 0 or "train" in map(split_of, splits)):
            raise _unclear(root, parents, f"level {level + 1} names splits and something else")
    return ("label", "group")


def _around_split(root: Path, parents: Collection[Folders], split: int) -> tuple[Level, ...]:
    """Return the levels where all names of one level are splits."""
    above = [_names_at(parents, level) for level in range(split)]
    below = _names_at(parents, split + 1)
    if all(len(names) == 1 for names in above) and below:
        skipped: list[Level] = ["skip"] * split
        return (*skipped, "split", "label", "group")
    if split == 1 and not _are_swapped(parents, 0, 2):
        return ("label", "split", "group")
    problem = "no level names labels" if split == 0 else f"level {split + 1} names splits"
    raise _unclear(root, parents, problem)


def _are_swapped(parents: Iterable[Folders], label: int, group: int) -> bool:
    """Return whether what would be groups look like labels.

    Each of them stands below several labels on average, and either they are fewer than the labels
    or only the labels have numbers in their names, as patients have and tissues have not.
    """
    pairs = {(p[label], p[group]) for p in parents if len(p) > group}
    labels, groups = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    if len(pairs) < 2 * len(groups) or not pairs:
        return False
    numbered = [any(map(_has_digit, labels)), any(map(_has_digit, groups))]
    if len(labels) > len(groups):
        return numbered != [False, True]
    return numbered == [True, False]


def _has_digit(name: str) -> bool:
    return any(map(str.isdigit, name))


def _names_at(parents: Iterable[Folders], level: int) -> set[str]:
    return {folders[level] for folders in parents if len(folders) > level}


def describe_levels(parents: Collection[Folders], levels: Sequence[Level]) -> str:
    """Return one line: the meaning of each level that exists, and some of its names."""
    named = [(level, _names_at(parents, number)) for number, level in enumerate(levels)]
    return "folders: " + " / ".join(f"{level} ({_some(names)})" for level, names in named if names)


def _some(names: Collection[str]) -> str:
    shown = sorted(names)[:_SHOWN]
    more = f", ... {len(names)} in all" if len(names) > len(shown) else ""
    return ", ".join(shown) + more


def _unclear(root: Path, parents: Collection[Folders], problem: str) -> DataError:
    found = []
    for level in range(max(map(len, parents))):
        found.append(f"level {level + 1} ({_some(_names_at(parents, level))})")
    return DataError(
        f"{root}: expected folders <label>/<group>/<file>, also below train, validation and test, "
        f"found {' / '.join(found)}: {problem}; say what each level is with cases.images.levels, "
        "such as [group,label] or [split,label], and name numbers with cases.images.label_names"
    )
