"""Measurements that descriptions of images state, as columns of numbers."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mint_ray.common.arrays import Floats32

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w]|\.\d)")


def numbers_in(text: str) -> list[float]:
    """Return the numbers in the order of the text; digits within words (`mm2`) are skipped.

    >>> numbers_in("dense (8120/mm2), area 31.5 um2")
    [8120.0, 31.5]
    """
    return [float(number) for number in _NUMBER.findall(text)]


def usual_count(texts: Sequence[str]) -> int:
    """Return how many numbers a text of the usual form of sentence states, that is most texts."""
    counts = Counter(len(numbers_in(text)) for text in texts)
    return min(counts, key=lambda count: (-counts[count], count)) if counts else 0


def number_columns(texts: Sequence[str], count: int) -> Floats32:
    """Return (n, 2 × count): the numbers, and sign(x)·log(1 + |x|) of each.

    A text that does not state `count` numbers has another form, and its row is NaN.
    """
    columns = np.full((len(texts), 2 * count), np.nan, dtype=np.float32)
    for row, text in enumerate(texts):
        if len(numbers := numbers_in(text)) == count:
            # Texts come from outside: a number of 400 digits is not a measurement.
            values = np.nan_to_num(np.array(numbers)).clip(-1e9, 1e9)
            columns[row] = [*values, *(np.sign(values) * np.log1p(np.abs(values)))]
    return columns
