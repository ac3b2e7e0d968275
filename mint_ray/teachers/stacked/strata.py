"""Kinds of label that the stacked teacher tells apart."""

import numpy as np

from mint_ray.common.arrays import Bools, Ints

STRATA = ("seen", "annotated", "named")
"""Kinds of label: with training patients; else with annotations; else with a name only."""


def strata_of(n_labels: int, seen: Ints, has_annotations: Bools) -> Ints:
    """Return (n_labels,) the position of each label's kind in `STRATA`."""
    strata = np.where(has_annotations, 1, 2)
    strata[seen] = 0
    return strata.astype(np.int64)


def labels_of(strata: Ints, kind: int) -> Ints:
    """Return the catalogue indices of the labels of a kind, ascending."""
    return np.flatnonzero(strata == kind).astype(np.int64)
