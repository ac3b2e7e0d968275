"""Fit of the mixture of a student and look-ups to validation cases."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import softmax

from mint_ray.common.arrays import Floats, Floats32, Ints
from mint_ray.common.probabilities.gate import Gate
from mint_ray.common.probabilities.group_weights import group_weights
from mint_ray.common.probabilities.temperature import search_temperature
from mint_ray.evaluation.calibration.scores import (
    LOG_TEMPERATURE,
    ScoredCases,
    answer_log_probabilities,
    fit_temperature,
)
from mint_ray.evaluation.fused.mixture import Mixture, judged_by_all, tempered

ROUNDS = 30
"""Rounds of the expectation-maximisation, after which the likelihood hardly changes."""


def fit_mixture(
    cases: ScoredCases,
    labels: Sequence[Ints],
    answers: Ints,
    look_ups: dict[str, Floats32],
    n_findings: Ints,
) -> Mixture:
    """Fit temperatures and gate to validation cases, by the likelihood of their known answers.

    Cases whose answer the catalogue lacks do not count. An answer that the student's search did
    not reach has the student's probability of `answer_log_probability`. Cases without findings
    count for the student's temperature only.

    Args:
        cases: the student's scores of n validation cases.
        labels: of each case, positions in the catalogue of the names that were scored.
        answers: (n,) catalogue index of each answer, −1 where the catalogue lacks it.
        look_ups: by name of the look-up, (n, n_labels) log-probabilities; NaN rows for cases
            without findings.
        n_findings: (n,) findings of the notes.

    Raises:
        DataError: there is no case whose known answer is in the catalogue.
    """
    temperature = fit_temperature(cases)
    rows = np.flatnonzero(judged_by_all(look_ups.values()) & cases.answerable)
    right = answers[rows]
    temperatures = tuple(_temperature(logps[rows], right) for logps in look_ups.values())
    mixture = Mixture(
        tuple(look_ups),
        temperature,
        temperatures,
        _equal_gate(1 + len(look_ups), 3 * (1 + len(look_ups)) + 1),
        cases=int(cases.answerable.sum()),
        informed=len(rows),
    )
    if not len(rows):
        return mixture
    experts = mixture.experts(
        [labels[row] for row in rows.tolist()],
        [cases.scores[row] for row in rows.tolist()],
        [logps[rows] for logps in look_ups.values()],
        n_findings[rows],
    )
    likelihoods = [answer_log_probabilities(cases, temperature)[rows]]
    likelihoods += [look_up[np.arange(len(rows)), right] for look_up in experts.look_ups]
    gate = fit_gate(
        experts.features(), np.stack(likelihoods, axis=1), group_weights(cases.groups[rows])
    )
    return replace(mixture, gate=gate)


def fit_gate(features: Floats32, log_likelihoods: Floats, weights: Floats) -> Gate:
    """Fit the weights of experts by expectation-maximisation.

    In each round every case is dealt to the experts in proportion to weight times likelihood, and
    the gate learns to foretell the shares. Source: Jordan and Jacobs, "Hierarchical Mixtures of
    Experts and the EM Algorithm", 1994.

    Args:
        features: (n, n_features), at least one case.
        log_likelihoods: (n, experts) of the known answers, at least one finite in each row.
        weights: (n,) of the cases.
    """
    n, n_experts = log_likelihoods.shape
    exists = np.ones(n_experts, dtype=np.bool_)
    repeated = np.repeat(features, n_experts, axis=0)
    kinds = np.tile(np.arange(n_experts), n)
    log_weights = np.zeros((n, n_experts))
    for _ in range(ROUNDS):
        shares = softmax(log_weights + log_likelihoods, axis=1)
        fitted = Gate.fit(repeated, kinds, (weights[:, None] * shares).ravel(), exists)
        gate = replace(fitted, observed=n)
        log_weights = gate.log_probabilities(features, exists)
    return gate


def _equal_gate(n_experts: int, n_features: int) -> Gate:
    return Gate(
        np.zeros(n_features),
        np.ones(n_features),
        np.zeros((n_experts, n_features)),
        np.zeros(n_experts),
        observed=0,
    )


def _temperature(log_probabilities: Floats32, answers: Ints) -> float:
    """Return the temperature of a look-up with the least loss; 1 without cases."""
    if not len(answers):
        return 1.0
    rows = np.arange(len(answers))
    return search_temperature(
        lambda t: -float(tempered(log_probabilities, t)[rows, answers].mean()), LOG_TEMPERATURE
    )
