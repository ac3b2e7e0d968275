"""Fit of the pool of a student and look-ups to validation cases."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from mint_ray.common.arrays import Bools, Floats, Floats32, Ints
from mint_ray.common.probabilities.group_weights import group_weights
from mint_ray.common.probabilities.temperature import search_temperature
from mint_ray.evaluation.calibration.scores import (
    LOG_TEMPERATURE,
    ScoredCases,
    fit_confidence,
)
from mint_ray.evaluation.fused.pool import Experts, OpinionPool, experts_of, floored, weighted_sum

CANDIDATES = 60
"""Best labels of each expert. A ranking is decided among them."""
CATALOGUE_SHARE = 0.3
"""Share of the fit that tells the answer from all labels, in place of the candidates alone. With
1.0, the thousands of labels that no expert holds likely rule weights and floors, and rankings are
worse; with 0.0, these labels together get too much probability."""
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

    It is the likelihood among the best labels of each expert and the answer, and for a share of it
    that among all labels. A normal prior holds the weights near equal ones that sum to one, the
    geometric mean, which few cases can hardly change. Then one temperature for all weights is
    fitted among all labels, which changes probabilities and no ranking. Cases of large groups count
    less, and cases whose answer the catalogue lacks do not count. The student's own temperature,
    for notes without findings, is that of its calibration (`fit_confidence`), to which all cases
    count.

    Args:
        cases: the student's scores of n validation cases.
        labels: of each case, positions in the catalogue of the names that were scored.
        answers: (n,) catalogue index of each answer, −1 where the catalogue lacks it.
        look_ups: by name of the look-up, (n, n_labels) log-probabilities; NaN rows for cases
            without findings.

    Raises:
        DataError: there is no case whose known answer is in the catalogue.
    """
    temperature = fit_confidence(cases)
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
        fitted[:n_experts] /= loss.fit_temperature(fitted)
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
        self._experts = experts.take(rows)
        self._is_candidate = _candidates(self._experts, answers)
        self._at_answer = (np.arange(len(rows)), answers)
        self._start = start
        self._weights = weights * len(rows) / weights.sum()
        self._prior = np.repeat([PRIOR, FLOOR_PRIOR], len(self._experts))

    def __call__(self, values: Floats) -> tuple[float, Floats]:
        """Return the loss of (2 experts,) weights and floors, and its gradient."""
        weights, floors = np.split(values, 2)
        terms = [floored(p, floor) for p, floor in zip(self._experts, floors, strict=True)]
        pooled = sum(w * t for w, t in zip(weights, terms, strict=True))
        among_all = log_softmax(pooled, axis=1)
        among_candidates = log_softmax(np.where(self._is_candidate, pooled, -np.inf), axis=1)
        expected = CATALOGUE_SHARE * np.exp(among_all)
        expected += (1 - CATALOGUE_SHARE) * np.exp(among_candidates)

        def slope(derivative: Floats) -> float:
            """Return the slope of the loss, for that of the unnormalised log-probabilities."""
            mean = np.einsum("ij,ij->i", expected, derivative)
            return -float(self._weights @ (derivative[self._at_answer] - mean))

        of_weights = [slope(term) for term in terms]
        of_floors = [
            weight * slope(np.exp(floor - term))
            for weight, floor, term in zip(weights, floors, terms, strict=True)
        ]
        logps = CATALOGUE_SHARE * among_all[self._at_answer]
        logps += (1 - CATALOGUE_SHARE) * among_candidates[self._at_answer]
        off = values - self._start
        loss = -float(self._weights @ logps) + float(self._prior @ off**2)
        return loss, np.array([*of_weights, *of_floors]) + 2 * self._prior * off

    def fit_temperature(self, values: Floats) -> float:
        """Fit the temperature of a pool, by the likelihood of the answers among all labels."""
        weights, floors = np.split(values, 2)
        pooled = weighted_sum(weights, floors, self._experts)

        def loss(temperature: float) -> float:
            logps = log_softmax(pooled / temperature, axis=1)[self._at_answer]
            return -float(self._weights @ logps)

        return search_temperature(loss, LOG_TEMPERATURE)


def _candidates(experts: Sequence[Floats | Floats32], answers: Ints) -> Bools:
    """Return (m, n_labels) whether a label is among the best of an expert, or the answer.

    Args:
        experts: of each (m, n_labels) log-probabilities.
        answers: (m,) labels that are always among them.
    """
    is_candidate = np.zeros(experts[0].shape, dtype=np.bool_)
    for logps in experts:
        best = np.argsort(-logps, axis=1)[:, :CANDIDATES]
        np.put_along_axis(is_candidate, best, True, axis=1)
    np.put_along_axis(is_candidate, answers[:, None], True, axis=1)
    return is_candidate
