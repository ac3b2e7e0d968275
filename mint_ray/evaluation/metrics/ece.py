"""Expected calibration error (ECE) of the first answer, from bins of its confidence."""

from dataclasses import dataclass

import numpy as np

from mint_ray.common.arrays import Bools, Floats, Ints
from mint_ray.evaluation.outcomes import Outcomes


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
