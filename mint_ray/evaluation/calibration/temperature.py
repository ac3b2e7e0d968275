"""The bounded search for a temperature that calibrations share."""

import math
from collections.abc import Callable

from scipy.optimize import minimize_scalar


def search_temperature(loss: Callable[[float], float], log_bounds: tuple[float, float]) -> float:
    """Return the temperature of the least loss, to about 1e-5 of its logarithm.

    Args:
        loss: of a temperature; has one minimum.
        log_bounds: range of the temperature's natural logarithm.
    """
    found = minimize_scalar(
        lambda log_temperature: loss(math.exp(log_temperature)),
        bounds=log_bounds,
        method="bounded",
        options={"xatol": 1e-5},
    )
    return math.exp(float(found.x))
