"""Siblings of a catalogue: names that differ in their last number or letter alone."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from mint_ray.common.arrays import Ints
from mint_ray.knowledge.names import normalise

# "12", "4c", "a", "x1", "iii", "iiia": last words by which the types of a disease are told apart.
_MARK = re.compile(r"\d+[a-z]{0,2}|[a-z]\d*|[ivx]+[a-z]?")
_TYPE_WORDS = frozenset({"type", "group", "form", "subtype"})


def name_stem(name: str) -> str:
    """Return the normalised words of a name before its trailing numbers and letters.

    A name of such words alone is its own stem.

    >>> name_stem("Noonan syndrome 1"), name_stem("Usher syndrome, type IIa"), name_stem("X")
    ('noonan syndrome', 'usher syndrome', 'x')
    """
    words = normalise(name).split()
    end = len(words)
    while end and (_MARK.fullmatch(words[end - 1]) or words[end - 1] in _TYPE_WORDS):
        end -= 1
    return " ".join(words[:end] or words)


class Siblings:
    """Look-up of the labels that share their name's stem with given ones.

    Args:
        names: of the catalogue, in its order; none for a catalogue without siblings.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        by_stem: dict[str, list[int]] = defaultdict(list)
        for index, name in enumerate(names):
            by_stem[name_stem(name)].append(index)
        self._of = {i: tuple(family) for family in by_stem.values() for i in family}

    def of(self, labels: Iterable[int]) -> Ints:
        """Return the sorted indices of the labels that share a stem with one of these.

        The given labels that the catalogue has are among them.
        """
        found = {sibling for label in labels for sibling in self._of.get(label, ())}
        return np.array(sorted(found), dtype=np.int64)


NO_SIBLINGS = Siblings()
"""Look-up that finds none."""
