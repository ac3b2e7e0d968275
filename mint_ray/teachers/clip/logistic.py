"""Multinomial logistic regression on standardised features, with missing values."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from mint_ray.common.arrays import Floats, Floats32, Ints

STEPS = 200
"""Most steps of L-BFGS."""


@dataclass(frozen=True)
class Linear:
    """logits = W·((x − mean)·factor) + b; a missing value (NaN) counts as the mean."""

    mean: Floats32
    """(width,)."""
    factor: Floats32
    """(width,) 1 / (deviation · √width of the column's block); 0 for a constant column."""
    weight: Floats32
    """(n_classes, width)."""
    bias: Floats32
    """(n_classes,)."""

    def log_probs(self, features: Floats32) -> Floats:
        """Return (n, n_classes) log-probabilities for (n, width) features."""
        scaled = np.nan_to_num((features - self.mean) * self.factor)
        logits = scaled.astype(np.float64) @ self.weight.T + self.bias
        scores: Floats = log_softmax(logits, axis=1)
        return scores

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return plain arrays from which `of_tensors` makes an equal classifier."""
        return {name: torch.from_numpy(value) for name, value in vars(self).items()}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> "Linear":
        """Make the classifier that gave these `tensors`."""
        return cls(**{name: value.numpy() for name, value in tensors.items()})


def fit_linear(
    features: Floats32,
    blocks: tuple[int, ...],
    classes: Ints,
    weights: Floats,
    n_classes: int,
    strengths: tuple[float, ...],
) -> list[Linear]:
    """Fit one classifier per strength to the loss Σ weightᵢ·nllᵢ + |W|² / (2·strength).

    Args:
        features: (n, width), NaN where a value is missing.
        blocks: widths of groups of columns, each of which gets the same total variance.
        classes: (n,) from 0.
        weights: (n,) of the rows, with mean one.
        n_classes: may be more than occur; classes that do not occur become improbable.
        strengths: inverse L2 regularisation, each above 0.

    Returns:
        Classifiers in ascending order of their strengths.
    """
    known = ~np.isnan(features)
    count = known.sum(0).clip(1)
    mean = np.nan_to_num(features).sum(0) / count
    deviation = np.sqrt((np.nan_to_num(features - mean) ** 2).sum(0) / count)
    root = np.concatenate([np.full(width, np.sqrt(width)) for width in blocks])
    # Columns that hardly vary in training must not explode elsewhere.
    usable = deviation > 1e-6 + 1e-4 * np.abs(mean)
    factor = np.where(usable, 1 / (np.where(usable, deviation, 1) * root), 0).astype(np.float32)
    scaled = np.nan_to_num((features - mean) * factor).astype(np.float32)
    classifiers, start = [], np.zeros((n_classes, scaled.shape[1] + 1))
    for strength in sorted(strengths):
        start = _minimise(scaled, classes, weights, start, strength)
        weight, bias = start[:, :-1].astype(np.float32), start[:, -1].astype(np.float32)
        classifiers.append(Linear(mean.astype(np.float32), factor, weight.copy(), bias.copy()))
    return classifiers


def _minimise(
    scaled: Floats32, classes: Ints, weights: Floats, start: Floats, strength: float
) -> Floats:
    """Return (n_classes, width + 1): weights, and biases in the last column."""
    rows = np.arange(len(classes))

    def loss(flat: Floats) -> tuple[float, Floats]:
        theta = flat.reshape(start.shape)
        # Products in float32: half the time, and far more exact than the data.
        logits = scaled @ theta[:, :-1].T.astype(np.float32) + theta[:, -1]
        logp = log_softmax(logits.astype(np.float64), axis=1)
        slope = np.exp(logp)
        slope[rows, classes] -= 1
        slope *= weights[:, None]
        gradient = np.empty_like(theta)
        gradient[:, :-1] = slope.T.astype(np.float32) @ scaled + theta[:, :-1] / strength
        gradient[:, -1] = slope.sum(0)
        penalty = (theta[:, :-1] ** 2).sum() / (2 * strength)
        return float(penalty - weights @ logp[rows, classes]), gradient.ravel()

    options = {"maxiter": STEPS, "gtol": 1e-3}
    # Not scikit-learn's LogisticRegression, which knows the classes that occur alone: a fold may
    # lack some, and their columns must be there all the same. Missing values and the variance of
    # blocks are matters of the scaling, and no reason.
    solution = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(solution.x, np.float64).reshape(start.shape)


def balanced_weights(classes: Ints, groups: Ints) -> Floats:
    """Return (n,) weights with mean one: classes count alike, and groups alike within a class."""
    weights = np.zeros(len(classes))
    for label in np.unique(classes):
        rows = np.flatnonzero(classes == label)
        _, codes, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
        weights[rows] = 1 / (len(sizes) * sizes[codes])
    return weights / weights.mean() if len(weights) else weights
