"""Joins the log_probs_by_classifier of several classifiers into one calibrated distribution."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import log_softmax

from mint_ray.common.arrays import Floats, Ints

TEMPERATURES = tuple(np.geomspace(0.25, 16, 25).tolist())
PARTS = 10
"""Weights are multiples of one over this."""


@dataclass(frozen=True)
class Blend:
    """log p = log softmax(Σ weight·log p of each classifier / temperature); weights sum to one."""

    weights: Mapping[str, float]
    temperature: float

    def log_probs(self, log_probs_by_classifier: Mapping[str, Floats]) -> Floats:
        """(n, n_classes) from the same of each classifier that has a weight."""
        total = sum(weight * log_probs_by_classifier[name] for name, weight in self.weights.items())
        joined: Floats = log_softmax(np.asarray(total) / self.temperature, axis=1)
        return joined


def even_blend(names: Sequence[str]) -> Blend:
    """All alike: where there is nothing to choose by."""
    return Blend({name: 1 / len(names) for name in names}, 1.0)


def choose_blend(
    log_probs_by_classifier: Mapping[str, Floats], classes: Ints, weights: Floats, smoothing: float
) -> Blend:
    """The weights and the temperature of least smoothed loss.

    Args:
        log_probs_by_classifier: (n, n_classes) log-probabilities of each
            classifier, for rows it was not fitted on.
        classes: (n,) what is right.
        weights: (n,) of the rows.
        smoothing: see `mean_loss`.
    """
    names = list(log_probs_by_classifier)
    if not len(classes):
        return even_blend(names)
    shares = [
        share for share in product(range(PARTS + 1), repeat=len(names)) if sum(share) == PARTS
    ]
    options = []
    for share in shares:
        given = {name: part / PARTS for name, part in zip(names, share, strict=True)}
        for temperature in TEMPERATURES:
            blend = Blend(given, temperature)
            loss = mean_loss(blend.log_probs(log_probs_by_classifier), classes, weights, smoothing)
            options.append((loss, blend))
    return min(options, key=lambda option: option[0])[1]


def mean_loss(scores: Floats, classes: Ints, weights: Floats, smoothing: float = 0.0) -> float:
    """Weighted mean of the negative log-probability of what is right.

    Args:
        scores: (n, n_classes) log-probabilities.
        classes: (n,) what is right.
        weights: (n,) of the rows.
        smoothing: share of the loss that all classes alike have: without it, classifiers that
            never erred on few patients would be made infinitely sure.
    """
    own = scores[np.arange(len(classes)), classes]
    losses = -(1 - smoothing) * own - smoothing * scores.mean(axis=1)
    return float((weights @ losses) / weights.sum())


def laplace_smoothing(groups: int) -> float:
    """Laplace's rule of succession: the chance to err of what was right for all of n groups."""
    return 1 / (groups + 2)


def deal_folds(classes: Ints, groups: Ints, count: int, seed: int) -> Ints:
    """(n,) fold of each row, whole groups at a time, the groups of each class spread evenly."""
    rng, folds = np.random.default_rng([seed, 4]), np.zeros(len(groups), dtype=np.int64)
    ids, first = np.unique(groups, return_index=True)
    start = 0
    for label in np.unique(classes):
        for group in rng.permutation(ids[classes[first] == label]):
            folds[groups == group] = start % count
            start += 1
    return folds
