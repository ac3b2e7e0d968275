"""Bounded search for a temperature, for teachers and calibrations."""

import math
from collections.abc import Callable

from scipy.optimize import minimize_scalar


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
