"""Siblings of a catalogue: names that differ in their last number or letter alone."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from mint_ray.common.arrays import Ints
from mint_ray.knowledge.names import name_stem


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
