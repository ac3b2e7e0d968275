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


def gap_columns(outcome: Outcomes, bins: int) -> Floats:
    """Return (n, bins): confidence − correctness in the case's bin, 0 in other bins.

    The ECE of any set of cases is the sum over bins of |column sum| / number of cases, which is
    Σ_b (n_b / n) |mean confidence_b − accuracy_b| (Guo et al. 2017). So it is a function of sums
    over cases, and can be resampled.
    """
    columns = np.zeros((len(outcome.confidence), bins))
    cells = np.arange(len(outcome.confidence)), assign_bins(outcome.confidence, bins)
    columns[cells] = outcome.confidence - outcome.correct
    return columns


def mass_gap_columns(confidence: Floats, correct: Bools, bins: int) -> Floats:
    """Return (n, bins): as `gap_columns`, in bins with about equally many of these cases.

    The bins end at quantiles of the confidences, so that equal confidences share a bin. Equal-width
    bins leave most bins empty where a system is nearly always sure, or nearly never (Nixon et al.,
    https://arxiv.org/abs/1904.01685).

    Args:
        confidence, correct: (n,) of the cases that are measured.
        bins: largest number of bins.
    """
    columns = np.zeros((len(confidence), bins))
    if len(confidence):
        edges = np.quantile(confidence, np.arange(1, bins) / bins)
        inside = np.searchsorted(edges, confidence, side="right")
        columns[np.arange(len(confidence)), inside] = confidence - correct
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
