"""Fit of the pool of a student and look-ups to validation cases."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from mint_ray.common.arrays import Bools, Floats, Floats32, Ints
from mint_ray.common.probabilities.group_weights import group_weights
from mint_ray.evaluation.calibration.scores import ScoredCases, fit_temperature
from mint_ray.evaluation.fused.pool import Experts, OpinionPool, experts_of, floored

CANDIDATES = 60
"""Best labels of each expert among which the answer is to be told; the thousands of others would
rule the floors, though they hardly matter to a ranking."""
FLOOR = -8.0
"""Log ε before any case is seen, in nats; about one in three thousand labels."""
FLOOR_BOUNDS = (-30.0, -0.5)
PRIOR = 4.0
"""Strength of the prior, in nats for a weight that is one off, against a nat for each case."""
FLOOR_PRIOR = 0.04
"""Strength of the prior, in nats for a floor that is a nat off."""


def fit_pool(
    cases: ScoredCases, labels: Sequence[Ints], answers: Ints, look_ups: dict[str, Floats32]
) -> OpinionPool:
    """Fit weights and floors to validation cases, by the likelihood of their known answers.

    It is the likelihood among the best labels of each expert and the answer. A normal prior holds
    the weights near equal ones that sum to one, the geometric mean, which few cases can hardly
    change. Cases of large groups count less, and cases whose answer the catalogue lacks do not
    count. Cases without findings count for the student's temperature only.

    Args:
        cases: the student's scores of n validation cases.
        labels: of each case, positions in the catalogue of the names that were scored.
        answers: (n,) catalogue index of each answer, −1 where the catalogue lacks it.
        look_ups: by name of the look-up, (n, n_labels) log-probabilities; NaN rows for cases
            without findings.

    Raises:
        DataError: there is no case whose known answer is in the catalogue.
    """
    temperature = fit_temperature(cases)
    experts = experts_of(labels, cases.scores, list(look_ups.values()))
    rows = np.flatnonzero(experts.informed & cases.answerable)
    n_experts = 1 + len(look_ups)
    start = np.concatenate([np.full(n_experts, 1 / n_experts), np.full(n_experts, FLOOR)])
    fitted = start
    if len(rows):
        loss = _PenalisedLoss(
            experts, rows, answers[rows], group_weights(cases.groups[rows]), start
        )
        bounds = [(0.0, None)] * n_experts + [FLOOR_BOUNDS] * n_experts
        fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    weights, floors = fitted[:n_experts].tolist(), fitted[n_experts:].tolist()
    return OpinionPool(
        tuple(look_ups),
        tuple(weights),
        tuple(floors),
        temperature,
        cases=int(cases.answerable.sum()),
        informed=len(rows),
    )


class _PenalisedLoss:
    """Negative log-likelihood of known answers under a pool, plus the prior; with its gradient.

    Args:
        experts: on all cases.
        rows: (m,) of the cases that count.
        answers: (m,) catalogue index of their answers.
        weights: (m,) of these cases.
        start: (2 experts,) centre of the prior: weights, then floors.
    """

    def __init__(
        self, experts: Experts, rows: Ints, answers: Ints, weights: Floats, start: Floats
    ) -> None:
        logps = experts.take(rows)
        labels, self._is_candidate, self._answers = _candidates(logps, answers)
        self._experts = [np.take_along_axis(p, labels, axis=1).astype(np.float64) for p in logps]
        self._start = start
        self._weights = weights * len(rows) / weights.sum()
        n_experts = len(self._experts)
        self._prior = np.repeat([PRIOR, FLOOR_PRIOR], n_experts)

    def __call__(self, values: Floats) -> tuple[float, Floats]:
        """Return the loss of (2 experts,) weights and floors, and its gradient."""
        n_experts = len(self._experts)
        weights, floors = values[:n_experts], values[n_experts:]
        terms = [floored(p, f) for p, f in zip(self._experts, floors, strict=True)]
        pooled = sum(w * t for w, t in zip(weights, terms, strict=True))
        logps = log_softmax(np.where(self._is_candidate, pooled, -np.inf), axis=1)
        probabilities, at_answer = np.exp(logps), (np.arange(len(logps)), self._answers)

        def slope(derivative: Floats) -> float:
            """Return the slope of the loss, for that of the unnormalised log-probabilities."""
            expected = (probabilities * derivative).sum(axis=1)
            return -float(self._weights @ (derivative[at_answer] - expected))

        of_weights = [slope(term) for term in terms]
        of_floors = [
            weight * slope(np.exp(floor - term))
            for weight, floor, term in zip(weights, floors, terms, strict=True)
        ]
        off = values - self._start
        loss = -float(self._weights @ logps[at_answer]) + float(self._prior @ off**2)
        return loss, np.array([*of_weights, *of_floors]) + 2 * self._prior * off


def _candidates(experts: Sequence[Floats | Floats32], answers: Ints) -> tuple[Ints, Bools, Ints]:
    """Return the labels among which each answer is to be told.

    Args:
        experts: of each (m, n_labels) log-probabilities.
        answers: (m,) labels that are always among them.

    Returns:
        (m, k) labels, (m, k) whether each is a candidate or fills its row, and (m,) the columns of
        the answers.
    """
    n_labels = experts[0].shape[1]
    is_candidate = np.zeros(experts[0].shape, dtype=np.bool_)
    for logps in experts:
        best = np.argsort(-logps, axis=1)[:, : min(CANDIDATES, n_labels)]
        np.put_along_axis(is_candidate, best, True, axis=1)
    np.put_along_axis(is_candidate, answers[:, None], True, axis=1)
    labels = np.argsort(~is_candidate, axis=1, kind="stable")[:, : is_candidate.sum(axis=1).max()]
    columns = (labels == answers[:, None]).argmax(axis=1)
    return labels, np.take_along_axis(is_candidate, labels, axis=1), columns
