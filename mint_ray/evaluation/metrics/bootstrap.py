"""95% percentile bootstrap intervals over groups.

Cases of one publication, patient or slide resemble each other, so whole groups are drawn.
Every statistic here is a function of sums over cases. The sums of a resample are the group sums
weighted by how often each group was drawn, so the bootstrap is a matrix product.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mint_ray.common.arrays import Floats, Ints
from mint_ray.evaluation.results import MetricValue

_MOST_CELLS = 4_000_000  # of the (resamples, groups) matrix of draws in memory: 32 MB


@dataclass(frozen=True)
class Interval:
    """A value over `n` cases with its 95% interval."""

    value: float
    low: float
    high: float
    n: int

    def as_value(self) -> MetricValue:
        """Return the interval as `metrics.json` has it."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


def resample_sums(values: Floats, groups: Ints, samples: int, seed: int) -> tuple[Floats, Floats]:
    """Sum the columns over bootstrap resamples of whole groups.

    Args:
        values: (n, m), one row per case.
        groups: (n,) group of each case, any integers.
        samples: number of resamples B.
        seed: of the draws. The same seed and groups give the same resamples, so that systems are
            compared on the same draws.

    Returns:
        (B, m) sums, and (B,) number of cases drawn.
    """
    _, codes = np.unique(groups, return_inverse=True)
    n_groups = int(codes.max()) + 1
    group_sums = np.zeros((n_groups, values.shape[1] + 1))
    np.add.at(group_sums, codes, np.column_stack([values, np.ones(len(values))]))
    rng = np.random.default_rng(seed)
    rows = max(1, min(samples, _MOST_CELLS // n_groups))
    parts = []
    for start in range(0, samples, rows):
        size = min(rows, samples - start)
        drawn = rng.integers(0, n_groups, size=(size, n_groups))
        cells = drawn + np.arange(size)[:, None] * n_groups
        counts = np.bincount(cells.ravel(), minlength=size * n_groups).reshape(size, n_groups)
        parts.append(counts.astype(np.float64) @ group_sums)
    sums = np.concatenate(parts)
    return sums[:, :-1], sums[:, -1]


def macro_weights(groups: Ints) -> Floats:
    """Return (n,) 1 / number of cases in the case's group, by which each group counts once.

    A mean over cases with these weights is the mean over groups of the group's mean.
    """
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    weights: Floats = 1.0 / sizes[codes]
    return weights


def resample_blocks(
    blocks: Mapping[str, Floats],
    groups: Ints,
    samples: int,
    seed: int,
    weights: Floats | None = None,
) -> dict[str, Floats]:
    """Sum several blocks of columns over the sample itself and over its resamples.

    All statistics of these sums get their intervals from one resampling, so on the same draws.

    Args:
        blocks: (n, m) columns by name; the name `cases` is reserved.
        groups, samples, seed: as for `resample_sums`.
        weights: (n,) by which rows are multiplied; all 1 if None.

    Returns:
        (1 + B, m) sums by name, the sample's own first; `cases`, (1 + B, 1), is the sum of the
        weights, so the number of cases if they are all 1.
    """
    counted = {**blocks, "cases": np.ones((len(groups), 1))}
    stacked = np.column_stack(list(counted.values()))
    if weights is not None:
        stacked = stacked * weights[:, None]
    resampled, _ = resample_sums(stacked, groups, samples, seed)
    sums = np.vstack([stacked.sum(axis=0), resampled])
    ends = np.cumsum([block.shape[1] for block in counted.values()])[:-1]
    return dict(zip(counted, np.split(sums, ends, axis=1), strict=True))


def percentile_interval(value: float, resampled: Floats, n: int) -> Interval:
    """Return the 2.5th to 97.5th percentile of the resampled statistic as an interval.

    The interval is widened to contain the value where needed: resampling biases the ECE upwards,
    so that on few cases its percentiles can lie above the value itself.

    Args:
        value: of the sample itself.
        resampled: (B,) of the resamples.
        n: number of cases.
    """
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(value, float(min(low, value)), float(max(high, value)), n)


def mean_interval(values: Floats, groups: Ints, samples: int, seed: int) -> Interval:
    """Return the mean of a per-case metric (n,) with its interval; see `resample_sums`."""
    sums, counts = resample_sums(values[:, None], groups, samples, seed)
    return percentile_interval(float(values.mean()), sums[:, 0] / counts, len(values))
