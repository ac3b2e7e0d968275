"""Calibration-aware fine-tuning: E-step, targets, and a student's calibration regime.

Xiao et al., "Restoring Calibration for Aligned Large Language Models", arXiv 2505.01997,
generalised from four options to any number of candidates. Confidence is the highest value of
the softmax over the candidates' summed log-probabilities.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mint_ray.common.arrays import Bools, Floats
from mint_ray.common.probabilities.temperature import confidence_temperature, top_confidence
from mint_ray.evaluation.metrics.ece import assign_bins

# tanh(ln 3) = 0.8: where the paper puts the second option's target on the curve.
_SECOND = math.log(3.0)
# Draws of perfectly calibrated outcomes that a measured ECE is compared with.
_NULL_DRAWS = 500
_LOG_TEMPERATURE = (-4.0, 6.0)


@dataclass(frozen=True)
class CaseBins:
    """Result of an E-step: `bin_of` (N,) of each example, each bin's `accuracy` and `sizes` (K,).

    An empty bin has size 0 and its own centre as accuracy; no example refers to it. `bin_of` is -1
    for an example that has no calibration term.
    """

    bin_of: Tensor
    accuracy: Tensor
    sizes: Tensor

    def state(self) -> dict[str, Tensor]:
        """Return the tensors by name, for a checkpoint."""
        return {"bin_of": self.bin_of, "accuracy": self.accuracy, "sizes": self.sizes}


@dataclass(frozen=True)
class Regime:
    """Calibration of a student, and how much of it can be repaired without losing accuracy.

    `accuracy` and mean `confidence` of the top answer and `ece` (0 to 1) are those of the student
    as it is. `floor` is the ECE that is left after the best `temperature`, which keeps every
    ranking. `noise` is the 95th percentile of the ECE that perfectly calibrated answers of the same
    confidence would show by chance.
    """

    accuracy: float
    confidence: float
    ece: float
    floor: float
    noise: float
    temperature: float

    @property
    def calibratable(self) -> bool:
        """Whether zero ECE is reachable without losing accuracy: `floor` is within `noise`."""
        return self.floor <= self.noise

    def advice(self) -> str:
        """Return the regime as one line of text for people."""
        if self.calibratable:
            return "calibratable: zero ECE is within reach at this accuracy, cft suffices"
        return "not calibratable: some ECE stays at this accuracy, rcft trades between the two"

    def metrics(self) -> dict[str, float]:
        """Return the values under the names that a run logs."""
        return {
            "calibration/accuracy": self.accuracy,
            "calibration/confidence": self.confidence,
            "calibration/ece": self.ece,
            "calibration/ece_floor": self.floor,
            "calibration/ece_noise": self.noise,
            "calibration/calibratable": float(self.calibratable),
        }


def expectation(confidence: Floats, correct: Bools, answerable: Bools, bins: int) -> CaseBins:
    """Take an E-step: bin examples by confidence (equal widths), estimate bins' accuracies.

    Args:
        confidence: (N,) highest probability of each example.
        correct: (N,) whether the known answer has the highest probability.
        answerable: (N,) whether the known answer is a candidate; other examples have no bin.
        bins: number of bins K.
    """
    bin_of = np.where(answerable, assign_bins(confidence, bins), -1)
    sizes = np.bincount(bin_of[answerable], minlength=bins)
    n_correct = np.bincount(bin_of[answerable], weights=correct[answerable], minlength=bins)
    centres = (np.arange(bins) + 0.5) / bins
    accuracy = np.where(sizes > 0, n_correct / np.maximum(sizes, 1), centres)
    return CaseBins(
        torch.from_numpy(bin_of),
        torch.from_numpy(accuracy).float(),
        torch.from_numpy(sizes),
    )


Targets = Callable[[Tensor, Tensor], Tensor]
"""Targets (M,) of the candidates below the top, from their log-probabilities (M,) and the bin's
accuracy (); they sum to 1 - accuracy."""


def calibration_terms(log_p: Tensor, bins: CaseBins, number: int, targets: Targets) -> Tensor:
    """Compute one example's share of L_cal, so that the mean over all N examples is L_cal.

    L_cal = sum_k 1/n_k sum_{i in bin k} [(p_max - acc_k)^2 + sum_{j != max} (p_j - t_j)^2]

    Args:
        log_p: (C,) log-probabilities of the candidates, normalised.
        bins: the last E-step.
        number: the example's index in it; the example has a bin.
        targets: gives the t_j, `paper_targets` or `proportional_targets`.
    """
    bin_index = bins.bin_of[number]
    accuracy = bins.accuracy[bin_index].to(log_p.device)
    weight = len(bins.bin_of) / int(bins.sizes[bin_index])
    top = log_p.argmax()
    others = torch.ones_like(log_p, dtype=torch.bool)
    others[top] = False
    target = targets(log_p.detach()[others], accuracy)
    p = log_p.exp()
    return weight * ((p[top] - accuracy) ** 2 + ((p[others] - target) ** 2).sum())


def paper_targets(log_p: Tensor, accuracy: Tensor) -> Tensor:
    """Return the paper's rank-keeping `Targets` t_j, which lie between a and 1.8 a.

    t_j = a tanh(gamma p_j) + a, gamma = (ln 3 / p_2nd) / (1 - acc),
    a = (1 - acc) / (sum_j tanh(gamma p_j) + M); t = 0 where acc = 1. The paper's M is 3; its ln 3
    is artanh 0.8 and stays. p_j / p_2nd is computed from log-probabilities, so that a p_2nd near 0
    does no harm. Many candidates flatten the targets: the more there are, the smaller is a.
    """
    if not len(log_p):
        return log_p
    remainder = 1.0 - accuracy
    if float(remainder) <= 0:
        return torch.zeros_like(log_p)
    curve = torch.tanh(_SECOND * (log_p - log_p.max()).exp() / remainder)
    return remainder / (curve.sum() + len(log_p)) * (curve + 1.0)


def proportional_targets(log_p: Tensor, accuracy: Tensor) -> Tensor:
    """Return `Targets` in the ratio of the student's own probabilities, (1 - acc) p_j / sum p.

    None is above the accuracy, which is the top's target, or the student would learn another
    order; what a target would have above it goes to the others, in the same ratio. All are equal
    where the accuracy is below that of guessing.
    """
    if not len(log_p):
        return log_p
    remainder = 1.0 - accuracy
    if float(remainder) >= float(accuracy) * len(log_p):
        return (remainder / len(log_p)).expand(len(log_p)).to(log_p.dtype)
    target = torch.empty_like(log_p)
    free = torch.ones_like(log_p, dtype=torch.bool)
    while True:
        target[~free] = accuracy.to(target.dtype)
        # A softmax, so that probabilities which are 0 in floating point have a ratio too.
        target[free] = (remainder - accuracy * (~free).sum()) * log_p[free].softmax(-1)
        above = free & (target > accuracy)
        if not above.any():
            return target
        free &= ~above


TARGETS: dict[str, Targets] = {"paper": paper_targets, "proportional": proportional_targets}
"""Targets by the name of `training.rcft_targets`."""


def regime(
    scores: Sequence[Floats], answers: Sequence[int | None], bins: int, seed: int = 0
) -> Regime:
    """Measure the regime on examples' candidate scores.

    Args:
        scores: for each example the summed log-probabilities (C,) of its candidates, in nats.
        answers: index of the known answer, None where it is not a candidate (counts as wrong).
        bins: equal-width confidence bins of the ECE.
        seed: of the draws that give `noise`.
    """
    correct = is_correct(scores, answers)
    confidence = top_confidence(scores)
    temperature = confidence_temperature(scores, correct, _LOG_TEMPERATURE)
    fitted = top_confidence(scores, temperature)
    rng = np.random.default_rng(seed)
    draws = [_ece(fitted, rng.random(len(fitted)) < fitted, bins) for _ in range(_NULL_DRAWS)]
    return Regime(
        accuracy=float(correct.mean()),
        confidence=float(confidence.mean()),
        ece=_ece(confidence, correct, bins),
        floor=_ece(fitted, correct, bins),
        noise=float(np.quantile(draws, 0.95)),
        temperature=temperature,
    )


def is_correct(scores: Sequence[Floats], answers: Sequence[int | None]) -> Bools:
    """Return whether the highest score is the known answer's (N,)."""
    examples = zip(scores, answers, strict=True)
    return np.array([int(values.argmax()) == answer for values, answer in examples])


def _ece(confidence: Floats, correct: Bools, bins: int) -> float:
    bin_of = assign_bins(confidence, bins)
    gaps = np.bincount(bin_of, weights=confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))
