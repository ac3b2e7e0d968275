"""Expected calibration error (ECE) of the first answer, from bins of its confidence.

The ECE of few cases is too high: in ten bins and 400 cases even perfect calibration shows 0.04. The
debiased error is that of Kumar, Liang and Ma, "Verified Uncertainty Calibration", arXiv 1909.10155:
the root mean square gap of the bins, with the part of each square that chance alone explains taken
off. It is measured between groups here, since the cases of a group are not independent.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mint_ray.common.arrays import Bools, Floats, Ints
from mint_ray.evaluation.outcomes import Outcomes

_LEAST_PAIRS = 1e-9  # share of pairs of different groups below which there are none but rounding


@dataclass(frozen=True)
class ReliabilityBin:
    """Mean confidence and accuracy of the n cases in one bin of confidence."""

    confidence: float
    accuracy: float
    n: int


def assign_bins(confidence: Floats, bins: int) -> Ints:
    """Return (n,) the equal-width bin of each confidence; 1.0 belongs to the last bin."""
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def equal_mass_bins(confidence: Floats, bins: int, weights: Floats | None = None) -> Ints:
    """Return (n,) the bin of each confidence, where every bin holds the same share of the cases.

    Equal confidences are in the same bin, so that bins differ in size where there are many. Source:
    adaptive calibration error of Nixon et al., arXiv 1904.01685.

    Args:
        confidence: (n,) of the cases.
        bins: number of bins.
        weights: (n,) of the cases in the share; equal if None.
    """
    if not len(confidence):
        return np.zeros(0, dtype=np.int64)
    levels, level = np.unique(confidence, return_inverse=True)
    mass = np.bincount(level, weights, minlength=len(levels))
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    bin_of_level: Ints = np.minimum((middle * bins).astype(np.int64), bins - 1)
    return bin_of_level[level]


def gap_columns(confidence: Floats, correct: Bools, bin_of_case: Ints, bins: int) -> Floats:
    """Return (n, bins): confidence − correctness in the case's bin, 0 in other bins.

    The ECE of any set of cases is the sum over bins of |column sum| / number of cases, which is
    Σ_b (n_b / n) |mean confidence_b − accuracy_b| (Guo et al. 2017). So it is a function of sums
    over cases, and can be resampled. Bins of equal mass are those of the sample in its resamples
    too.
    """
    columns = np.zeros((len(confidence), bins))
    columns[np.arange(len(confidence)), bin_of_case] = confidence - correct
    return columns


def ece_of_sums(gap_sums: Floats, n: Floats | float) -> Floats:
    """Return the ECE (...) from sums (..., bins) of `gap_columns` over n cases."""
    ece: Floats = np.abs(gap_sums).sum(axis=-1) / n
    return ece


PAIR_BLOCKS = ("mass", "own", "own_mass")
"""Names of the blocks of `pair_blocks`."""


def pair_blocks(
    gaps: Floats, bin_of_case: Ints, groups: Ints, weights: Floats | None
) -> dict[str, Floats]:
    """Return the blocks, (n, bins) each, by which `debiased_ece` corrects sums of `gap_columns`.

    `mass` is 1 in the case's bin. `own` and `own_mass` stand at the first case of each group: the
    square of the sum of the group's gaps, and of its mass, in each bin. All rows are to be
    multiplied by the weights, which are equal within a group, so these squares are divided by them.

    Args:
        gaps: (n, bins) from `gap_columns`.
        bin_of_case: (n,) bins.
        groups: (n,) group of each case.
        weights: (n,) of the cases; equal if None.
    """
    mass = np.zeros_like(gaps)
    mass[np.arange(len(gaps)), bin_of_case] = 1.0
    ones = np.ones(len(gaps)) if weights is None else weights
    _, first, code = np.unique(groups, return_index=True, return_inverse=True)
    blocks = {"mass": mass, "own": np.zeros_like(gaps), "own_mass": np.zeros_like(gaps)}
    for name, columns in (("own", gaps), ("own_mass", mass)):
        sums = np.zeros((len(first), gaps.shape[1]))
        np.add.at(sums, code, columns * ones[:, None])
        blocks[name][first] = sums**2 / ones[first][:, None]
    return blocks


def debiased_ece(gap_sums: Floats, blocks: Mapping[str, Floats]) -> Floats:
    """Return the debiased root mean square calibration error, shape (...).

    The square of a bin's mean gap is estimated by the products of gaps of different groups,
    (S² − Σ S_g²) / (W² − Σ W_g²), with the sums S of gaps and W of mass, and S_g and W_g of each
    group. It is unbiased, so that it is negative where the gaps are smaller than chance would make
    them. The root of the mean over cases keeps its sign. A bin with the cases of a single group
    says nothing about the next group and counts as 0. Without that correction, the root would be at
    least as large as the ECE.

    In a bootstrap resample, a group that is drawn twice makes products with itself, which the
    correction misses. So the resamples (all rows but the first) are shifted to the mean that the
    sample itself has.

    Args:
        gap_sums: (1 + B, bins) sums of `gap_columns`, of the sample and then of its resamples.
        blocks: (1 + B, bins) sums of `pair_blocks`.
    """
    mass = blocks["mass"]
    pairs = mass**2 - blocks["own_mass"]
    has_pairs = pairs > _LEAST_PAIRS * np.maximum(mass, 1.0) ** 2
    squares = np.divide(
        gap_sums**2 - blocks["own"], pairs, out=np.zeros_like(mass), where=has_pairs
    )
    total = np.maximum(mass.sum(axis=-1), _LEAST_PAIRS)
    mean: Floats = (mass * squares).sum(axis=-1) / total
    if len(mean) > 1:
        mean[1:] += mean[0] - mean[1:].mean()
    root: Floats = np.sign(mean) * np.sqrt(np.abs(mean))
    return root


def reliability(outcome: Outcomes, bins: int) -> list[ReliabilityBin]:
    """Return the bins that have cases, in order of confidence."""
    bin_of_case = assign_bins(outcome.confidence, bins)
    occupied = []
    for index in range(bins):
        inside = bin_of_case == index
        if inside.any():
            confidence = float(outcome.confidence[inside].mean())
            accuracy = float(outcome.correct[inside].mean())
            occupied.append(ReliabilityBin(confidence, accuracy, int(inside.sum())))
    return occupied
