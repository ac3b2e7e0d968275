"""Conformal thresholds over groups: how often they hold, and when they give up."""

import math

import numpy as np
import pytest

from mint_ray.evaluation.calibration.conformal import (
    group_weights,
    groups_needed,
    p_value,
    threshold,
)


def grouped(rng: np.random.Generator, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Misfits of cases that resemble those of their own group; groups of 1 to 12."""
    sizes = rng.integers(1, 13, size=groups)
    codes = np.repeat(np.arange(groups), sizes)
    level = rng.normal(size=groups) * np.sqrt(sizes)  # large groups are the odd ones
    misfit = 1 / (1 + np.exp(-(level[codes] + 0.3 * rng.normal(size=len(codes)))))
    return misfit, codes


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_a_new_groups_case_is_covered_as_often_as_asked(coverage: float) -> None:
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(3000):
        misfit, codes = grouped(rng, 25)
        known = codes < 24
        limit = threshold(misfit[known], group_weights(codes[known]), coverage)
        hits.append(rng.choice(misfit[~known]) <= limit)
    slack = 3 * math.sqrt(coverage * (1 - coverage) / len(hits))
    assert coverage - slack <= np.mean(hits) <= coverage + 0.05 + slack


def test_cases_that_are_counted_one_by_one_would_not_be() -> None:
    """The test above can fail: large groups, which fit worse, outweigh the others here."""
    rng, hits = np.random.default_rng(0), []
    for _ in range(1500):
        misfit, codes = grouped(rng, 25)
        misfit = np.where(np.bincount(codes)[codes] > 6, misfit / 4, misfit)
        known = codes < 24
        each = np.full(known.sum(), 1 / (known.sum() + 1))
        hits.append(rng.choice(misfit[~known]) <= threshold(misfit[known], each, 0.9))
    assert np.mean(hits) < 0.88


def test_too_few_groups_leave_nothing_out() -> None:
    assert groups_needed(0.9) == 9
    misfit = np.linspace(0.1, 0.9, 9)
    assert threshold(misfit, group_weights(np.arange(9)), 0.9) == pytest.approx(0.9)
    few = threshold(misfit[:8], group_weights(np.arange(8)), 0.9)
    assert math.isinf(few)


def test_weights_are_shared_within_a_group() -> None:
    weights = group_weights(np.array([4, 4, 7]))
    np.testing.assert_allclose(weights, [1 / 6, 1 / 6, 1 / 3])


def test_p_values_are_as_rare_as_they_say() -> None:
    rng, found = np.random.default_rng(1), []
    for _ in range(3000):
        misfit, codes = grouped(rng, 20)
        known = codes < 19
        weights = group_weights(codes[known])
        found.append(p_value(misfit[known], weights, rng.choice(misfit[~known])))
    for level in (0.05, 0.1, 0.3):
        assert np.mean(np.array(found) <= level) <= level + 0.02
    assert p_value(np.array([0.5]), np.array([0.5]), 0.9) == pytest.approx(0.5)
