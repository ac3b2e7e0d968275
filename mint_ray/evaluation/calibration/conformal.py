"""Split conformal prediction: sets of answers with a guaranteed coverage for new patients.

The misfit of an answer is 1 − its probability. An answer belongs to the set if its misfit is at
most a threshold, a quantile of the misfits of the right answers of known patients. Cases of one
patient resemble each other, so a patient's cases share one weight. Source: Lee, Barber and
Willett, "Distribution-free inference with hierarchical data", arXiv 2306.06342. Where patients are
exchangeable, the set of a new patient's case contains the right answer with at least the wanted
probability, for any student. The guarantee does not hold for patients of another population.
"""

import math

import numpy as np

from mint_ray.common.arrays import Floats, Ints

_ROUNDING = 1e-12


def group_weights(groups: Ints) -> Floats:
    """Return (n,) the weight of each case: 1 / (G + 1) for each of G groups, shared by its cases.

    The remaining weight, 1 / (G + 1), is that of the new group.
    """
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    weights: Floats = 1.0 / (len(sizes) + 1) / sizes[codes]
    return weights


def threshold(misfit: Floats, weights: Floats, coverage: float) -> float:
    """Return the greatest misfit of an answer that belongs to the set.

    Args:
        misfit: (n,) of the right answers.
        weights: (n,) from `group_weights`.
        coverage: wanted probability that a set contains the right answer, between 0 and 1.

    Returns:
        Infinity where there are too few groups: then every answer belongs to the set.
    """
    order = np.argsort(misfit)
    reached = np.flatnonzero(np.cumsum(weights[order]) >= coverage - _ROUNDING)
    return float(misfit[order][reached[0]]) if len(reached) else math.inf


def p_value(misfit: Floats, weights: Floats, observed: float) -> float:
    """Return the share of right answers that fit at least as badly as an answer of a new case.

    The p-value is valid: for the right answer of a new group's case it is at most p with a
    probability of at most p, up to the discreteness of groups.

    Args:
        misfit: (n,) of the right answers.
        weights: (n,) from `group_weights`.
        observed: misfit of the answer of the new case.
    """
    return float(min(1.0, 1.0 - weights.sum() + weights[misfit >= observed].sum()))


def groups_needed(coverage: float) -> int:
    """Return the least number of groups for which a set can be smaller than the catalogue."""
    return math.ceil(coverage / (1.0 - coverage) - _ROUNDING)
