"""Sets of answers that hold the right one as often as was asked, for patients never seen.

Split conformal prediction: an answer fits a case as badly as 1 − its probability says; the
threshold is a quantile of how badly the right answers of known patients fit. Cases of one patient
resemble each other, so a patient's cases share one weight. Source: Lee, Barber and Willett,
"Distribution-free inference with hierarchical data", arXiv 2306.06342: where patients are
exchangeable, the set of a new patient's case holds the right answer with at least the asked
probability, whatever the student is like. It says nothing of a patient from elsewhere.
"""

import math

import numpy as np

from mint_ray.common.arrays import Floats, Ints

_ROUNDING = 1e-12


def group_weights(groups: Ints) -> Floats:
    """(n,) weight of each case: 1 / (G + 1) for each of G groups, shared by its cases.

    The weight that is left, 1 / (G + 1), stands for the new group.
    """
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    weights: Floats = 1.0 / (len(sizes) + 1) / sizes[codes]
    return weights


def threshold(misfit: Floats, weights: Floats, coverage: float) -> float:
    """Greatest misfit of an answer that belongs to the set.

    Args:
        misfit: (n,) of the right answers.
        weights: (n,) from `group_weights`.
        coverage: asked probability, between 0 and 1.

    Returns:
        Infinity where the groups are too few: then every answer belongs to the set.
    """
    order = np.argsort(misfit)
    reached = np.flatnonzero(np.cumsum(weights[order]) >= coverage - _ROUNDING)
    return float(misfit[order][reached[0]]) if len(reached) else math.inf


def p_value(misfit: Floats, weights: Floats, found: float) -> float:
    """How often a right answer fits at least as badly as one of misfit `found`.

    Valid: for the right answer of a new group's case it is at most p with a probability of at
    most p, up to the discreteness of groups.
    """
    return float(min(1.0, 1.0 - weights.sum() + weights[misfit >= found].sum()))


def groups_needed(coverage: float) -> int:
    """Fewest groups with which a set can be smaller than the catalogue."""
    return math.ceil(coverage / (1.0 - coverage) - _ROUNDING)
