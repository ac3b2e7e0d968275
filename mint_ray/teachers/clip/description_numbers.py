"""Descriptions of images as numbers: their embedding, and the measurements that they state."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mint_ray.common.arrays import Floats32

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w]|\.\d)")


def numbers_in(text: str) -> list[float]:
    """Numbers in the order of the text; digits within words (`mm2`) are none.

    >>> numbers_in("dense (8120/mm2), area 31.5 um2")
    [8120.0, 31.5]
    """
    return [float(number) for number in _NUMBER.findall(text)]


def usual_count(texts: Sequence[str]) -> int:
    """The number of numbers that most of the texts have: those of the usual form of sentence."""
    counts = Counter(len(numbers_in(text)) for text in texts)
    return min(counts, key=lambda count: (-counts[count], count)) if counts else 0


def number_columns(texts: Sequence[str], count: int) -> Floats32:
    """(n, 2 × count) the numbers, and their logarithms; NaN for a text of another form."""
    columns = np.full((len(texts), 2 * count), np.nan, dtype=np.float32)
    for row, text in enumerate(texts):
        if len(found := numbers_in(text)) == count:
            # Texts come from outside: a number of 400 digits is no measurement.
            values = np.nan_to_num(np.array(found)).clip(-1e9, 1e9)
            columns[row] = [*values, *(np.sign(values) * np.log1p(np.abs(values)))]
    return columns
