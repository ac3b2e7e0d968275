"""Reduction of deep image values to 8 bits."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mint_ray.common.arrays import Bytes

_DEPTHS: Final = (8, 10, 12, 14, 16, 32)
_SLACK: Final = 0.05  # what resampling adds to the range 0 to 1


def to_8_bits(values: NDArray[Any], largest: float | None = None) -> Bytes | None:
    """Return values as 8 bits, 0 for black, or None if their range is not known.

    Integers keep their eight highest bits, of the smallest depth of 8, 10, 12, 14, 16 or 32 bits
    that holds the largest value: 12 bits in a file of 16 bits are common, and are stated nowhere.
    The highest bits are exact for values that were made from 8 bits by a shift and by a factor.
    Real numbers are taken as 0 to 1, or as 0 to 255 if one is larger than 1. Larger whole numbers
    are taken as integers.

    Args:
        values: integers, real numbers or booleans, of any shape.
        largest: the largest value that can occur, where a file states it.
    """
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype == np.uint8:
        return values
    if values.size == 0 or values.dtype.kind not in "uif" or not np.isfinite(values).all():
        return None
    low, peak = float(values.min()), max(float(values.max()), largest or 0.0)
    if values.dtype.kind == "f":
        if low < -_SLACK:
            return None
        if peak <= 1 + _SLACK:
            return _rounded(values * 255)
        if peak < 255.5:
            return _rounded(values)
        if peak >= 2 ** _DEPTHS[-1] or (values != np.floor(values)).any():
            return None
        values = values.astype(np.int64)
    return None if low < 0 else _highest_bits(values, peak)


def _highest_bits(values: NDArray[Any], peak: float) -> Bytes | None:
    for depth in _DEPTHS:
        if peak < 2**depth:
            return (values >> (depth - 8)).astype(np.uint8)
    return None


def _rounded(values: NDArray[Any]) -> Bytes:
    return values.clip(0, 255).round().astype(np.uint8)
