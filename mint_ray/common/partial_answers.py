"""Scores of systems that answer for some labels only, the others sharing one floor."""

import numpy as np
from numpy.typing import NDArray

from mint_ray.common.arrays import Bools, Ints
from mint_ray.common.seeds import stable_seed

ALL_ANSWERED = -float("inf")
"""Floor of a system that answers for every label."""


def is_answered(scores: NDArray[np.floating], floor: float) -> Bools:
    """Return whether each score is above the floor, in the shape of the scores; NaN is not.

    Without a floor, a score of −∞ is an answer too.
    """
    answered: Bools = scores > np.asarray(floor, dtype=scores.dtype)
    return answered if floor > ALL_ANSWERED else np.logical_not(np.isnan(scores))


def order_labels(scores: NDArray[np.floating], floor: float, seed: str) -> Ints:
    """Return the indices (n_labels,) of one case's labels, best first.

    Answered labels that tie keep the order of the catalogue. The unanswered ones come last, in an
    order that is drawn from the seed, since the system has not ranked them.

    Args:
        scores: (n_labels,) of one case.
        floor: score of every label that is not answered.
        seed: text from which the order is drawn, such as the case's id.
    """
    order: Ints = np.argsort(-scores, kind="stable")
    n_answered = int(is_answered(scores, floor).sum())
    if n_answered < len(order):
        rng = np.random.default_rng(stable_seed("unanswered", seed))
        order[n_answered:] = rng.permutation(order[n_answered:])
    return order
