"""Bounded search for a temperature, for teachers, students in training and calibrations."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import minimize_scalar

from mint_ray.common.arrays import Bools, Floats

GRID = 61
"""Temperatures at which a loss with several minima is computed first."""


def search_temperature(loss: Callable[[float], float], log_bounds: tuple[float, float]) -> float:
    """Return the temperature with the least loss; its logarithm is exact to about 1e-5.

    Args:
        loss: of a temperature; has one minimum.
        log_bounds: range of the temperature's natural logarithm.
    """
    minimum = minimize_scalar(
        lambda log_temperature: loss(math.exp(log_temperature)),
        bounds=log_bounds,
        method="bounded",
        options={"xatol": 1e-5},
    )
    return math.exp(float(minimum.x))


def confidence_temperature(
    scores: Sequence[Floats], correct: Bools, log_bounds: tuple[float, float]
) -> float:
    """Return the temperature at which the top confidence fits the outcomes best (binary log loss).

    Args:
        scores: (m,) unnormalised log-probabilities of each example's candidates.
        correct: (N,) whether the highest score is the known answer's.
        log_bounds: range of the temperature's natural logarithm.
    """

    def loss(temperature: float) -> float:
        top = np.clip(top_confidence(scores, temperature), 1e-12, 1 - 1e-12)
        return float(-np.where(correct, np.log(top), np.log1p(-top)).mean())

    # The loss can have a minimum for each kind of case, such as short and long lists of candidates.
    logs = np.linspace(*log_bounds, GRID)
    best = int(np.argmin([loss(math.exp(log)) for log in logs]))
    around = float(logs[max(best - 1, 0)]), float(logs[min(best + 1, GRID - 1)])
    return search_temperature(loss, around)


def top_confidence(scores: Sequence[Floats], temperature: float = 1.0) -> Floats:
    """Return the highest softmax probability (N,) of each example's scores."""
    tops = []
    for values in scores:
        scaled = values / temperature
        tops.append(1.0 / np.exp(scaled - scaled.max()).sum())
    return np.array(tops, dtype=np.float64)
