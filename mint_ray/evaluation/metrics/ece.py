"""Calibration of the first answer: bins of confidence, and the ECE from them."""

from dataclasses import dataclass

import numpy as np

from mint_ray.common.arrays import Floats, Ints
from mint_ray.evaluation.outcomes import Outcomes


@dataclass(frozen=True)
class ReliabilityBin:
    """The cases whose confidence lies in one bin."""

    confidence: float
    accuracy: float
    n: int


def assign_bins(confidence: Floats, bins: int) -> Ints:
    """(n,) equal-width bin of each confidence; 1.0 belongs to the last bin."""
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def gap_columns(outcome: Outcomes, bins: int) -> Floats:
    """(n, bins): confidence − correctness in the case's bin, 0 elsewhere.

    The ECE of any set of cases is the sum over bins of |column sum| / number of cases, which is
    Σ_b (n_b / n) |mean confidence_b − accuracy_b| (Guo et al. 2017), so it can be resampled.
    """
    columns = np.zeros((len(outcome.confidence), bins))
    place = np.arange(len(outcome.confidence)), assign_bins(outcome.confidence, bins)
    columns[place] = outcome.confidence - outcome.correct
    return columns


def ece_of_sums(gap_sums: Floats, n: Floats | float) -> Floats:
    """ECE from sums of `gap_columns`, (..., bins) over n cases, (...)."""
    ece: Floats = np.abs(gap_sums).sum(axis=-1) / n
    return ece


def reliability(outcome: Outcomes, bins: int) -> list[ReliabilityBin]:
    """The bins that hold cases, in order of confidence."""
    member = assign_bins(outcome.confidence, bins)
    found = []
    for place in range(bins):
        inside = member == place
        if inside.any():
            confidence = float(outcome.confidence[inside].mean())
            accuracy = float(outcome.correct[inside].mean())
            found.append(ReliabilityBin(confidence, accuracy, int(inside.sum())))
    return found
