"""Conversion of recorded scores to probabilities, fitted on validation cases."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import log_softmax

from mint_ray.common.arrays import Floats, Floats32, Ints, Ints32
from mint_ray.common.probabilities.temperature import search_temperature
from mint_ray.teachers.recorded.table import RecordedScores

USUAL_UNANSWERED = 0.1
"""Share of unanswered labels' probability where no validation case tells it."""
USUAL_TEMPERATURE = 0.25
"""Temperature, in standard deviations of the scores, where no validation case tells it."""
LOG_TEMPERATURES = (-8.0, 4.0)
"""Range of the natural logarithm of the temperature in standard deviations of the scores."""
STEP = 1e-5
"""Least difference of the log-probabilities of labels with different scores. Single precision
resolves it down to e^-128."""


@dataclass(frozen=True)
class Scale:
    """Conversion of scores to probabilities.

    p = (1 − u) · softmax(score / T) over the answered labels, plus u / n_labels for every label.

    Attributes:
        temperature: T.
        unanswered: u, spread over all labels of the catalogue.
        n_labels: size of the catalogue.
    """

    temperature: float
    unanswered: float
    n_labels: int

    @property
    def floor(self) -> float:
        """Log-probability of every label without a score, exact in single precision."""
        return float(np.float32(math.log(self.unanswered / self.n_labels)))

    def log_probabilities(self, labels: Ints32, scores: Floats) -> Floats32:
        """Return (n_labels,) log-probabilities of one case.

        Labels with a higher score have a higher log-probability, and all labels with a score are
        above the floor: rounding to single precision never makes two scores tie.

        Args:
            labels: (m,) catalogue indices with a score.
            scores: (m,), m at least 1.
        """
        logs = np.logaddexp(
            np.log1p(-self.unanswered) + log_softmax(scores / self.temperature),
            math.log(self.unanswered / self.n_labels),
        )
        _, step = np.unique(scores, return_inverse=True)
        order = np.argsort(step, kind="stable")
        ascending = np.maximum(logs[order], self.floor + STEP) - STEP * step[order]
        row = np.full(self.n_labels, self.floor, dtype=np.float32)
        row[labels[order]] = np.maximum.accumulate(ascending) + STEP * step[order]
        return row

    def facts(self) -> dict[str, float]:
        """Return the settings as plain JSON, from which `Scale(**facts)` makes an equal scale."""
        return asdict(self)


def fit_scale(
    recorded: RecordedScores, case_ids: Sequence[str], answers: Ints, n_labels: int
) -> tuple[Scale, float]:
    """Return the scale with the least loss on cases with a known answer, and that loss in nats.

    Args:
        recorded: scores of cases.
        case_ids: of the validation cases, (n,).
        answers: (n,) catalogue indices of their answers, −1 where there is none.
        n_labels: size of the catalogue.

    Returns:
        The loss is the mean over the cases whose answer has a score; 0 without such a case.
    """
    scored = [
        (recorded.of(case_id), int(answer))
        for case_id, answer in zip(case_ids, answers, strict=True)
        if answer >= 0 and case_id in recorded
    ]
    reached = [
        (scores, int(np.flatnonzero(labels == answer)[0]))
        for (labels, scores), answer in scored
        if answer in labels
    ]
    missed = len(scored) - len(reached)
    unanswered = (missed + 1) / (len(scored) + 2) if scored else USUAL_UNANSWERED
    spread = recorded.spread
    if not reached:
        return Scale(USUAL_TEMPERATURE * spread, unanswered, n_labels), 0.0

    def loss(temperature: float) -> float:
        logs = [log_softmax(scores / temperature)[place] for scores, place in reached]
        return -float(np.mean(logs))

    low, high = (bound + math.log(spread) for bound in LOG_TEMPERATURES)
    temperature = search_temperature(loss, (low, high))
    return Scale(temperature, unanswered, n_labels), loss(temperature)
