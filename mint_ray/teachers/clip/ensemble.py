"""Calibrated blends of the log-probabilities of several classifiers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import log_softmax

from mint_ray.common.arrays import Floats, Ints

TEMPERATURES = tuple(np.geomspace(0.25, 16, 25).tolist())
"""Temperatures that are compared."""
PARTS = 10
"""The weights that are compared are multiples of 1 / `PARTS`."""


@dataclass(frozen=True)
class Blend:
    """log p = log softmax(Σ weight·log p of each classifier / temperature); weights sum to one."""

    weights: Mapping[str, float]
    temperature: float

    def log_probs(self, log_probs_by_classifier: Mapping[str, Floats]) -> Floats:
        """Return (n, n_classes) log-probabilities from those of each classifier with a weight."""
        total = sum(weight * log_probs_by_classifier[name] for name, weight in self.weights.items())
        joined: Floats = log_softmax(np.asarray(total) / self.temperature, axis=1)
        return joined


def even_blend(names: Sequence[str]) -> Blend:
    """Return equal weights and temperature 1, for use where there are no rows to choose by."""
    return Blend({name: 1 / len(names) for name in names}, 1.0)


def choose_blend(
    log_probs_by_classifier: Mapping[str, Floats], classes: Ints, weights: Floats, smoothing: float
) -> Blend:
    """Choose the weights and the temperature with the least smoothed loss.

    Args:
        log_probs_by_classifier: (n, n_classes) log-probabilities of each classifier, for rows that
            it was not fitted on.
        classes: (n,) the right class of each row.
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
        name_weights = {name: part / PARTS for name, part in zip(names, share, strict=True)}
        for temperature in TEMPERATURES:
            blend = Blend(name_weights, temperature)
            loss = mean_loss(blend.log_probs(log_probs_by_classifier), classes, weights, smoothing)
            options.append((loss, blend))
    return min(options, key=lambda option: option[0])[1]


def mean_loss(scores: Floats, classes: Ints, weights: Floats, smoothing: float = 0.0) -> float:
    """Return the weighted mean of the negative log-probability of the right classes.

    Args:
        scores: (n, n_classes) log-probabilities.
        classes: (n,) the right class of each row.
        weights: (n,) of the rows.
        smoothing: share of the loss that is spread evenly over all classes. Without it, the best
            temperature of classifiers that never erred on few patients would be 0.
    """
    right = scores[np.arange(len(classes)), classes]
    losses = -(1 - smoothing) * right - smoothing * scores.mean(axis=1)
    return float((weights @ losses) / weights.sum())


def laplace_smoothing(groups: int) -> float:
    """Return 1 / (n + 2), by Laplace's rule of succession.

    It is the chance that a classifier errs on the next group after it was right on n groups.
    """
    return 1 / (groups + 2)


def deal_folds(classes: Ints, groups: Ints, count: int, seed: int) -> Ints:
    """Return (n,) the fold of each row.

    Groups stay whole, and the groups of each class are spread evenly over the folds.
    """
    rng, folds = np.random.default_rng([seed, 4]), np.zeros(len(groups), dtype=np.int64)
    ids, first = np.unique(groups, return_index=True)
    start = 0
    for label in np.unique(classes):
        for group in rng.permutation(ids[classes[first] == label]):
            folds[groups == group] = start % count
            start += 1
    return folds
