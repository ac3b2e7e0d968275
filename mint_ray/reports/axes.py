"""Tick positions and tick labels of plot axes."""

import math
from collections.abc import Sequence


def ticks(low: float, high: float) -> list[float]:
    """Return at most six round numbers that enclose 0, `low` and `high`, in ascending order."""
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        high = 1.0
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [multiple * step for multiple in range(first, last + 1)]


def tick_labels(values: Sequence[float]) -> list[str]:
    """Format ticks with as many decimals as the step between them needs."""
    step = values[1] - values[0] if len(values) > 1 else 1.0
    decimals = next((d for d in range(6) if math.isclose(step, round(step, d))), 6)
    return [f"{value:,.{decimals}f}".replace("-", "−") for value in values]
