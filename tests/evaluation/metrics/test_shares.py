"""Intervals of shares near 0 and 1, where the bootstrap alone is too sure."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mint_ray.evaluation.metrics.bootstrap import mean_interval, resample_sums
from mint_ray.evaluation.metrics.shares import evidence_of, mean_share_interval, share_interval


@pytest.mark.parametrize("n_groups", [1, 8, 60])
def test_all_right_or_all_wrong_leave_a_width_that_groups_decide(n_groups: int) -> None:
    groups = np.repeat(np.arange(n_groups), 25)
    collapsed = mean_interval(np.ones(len(groups)), groups, 200, seed=0)
    assert (collapsed.low, collapsed.high) == (1, 1)
    right = mean_share_interval(np.ones(len(groups)), groups, 200, seed=0)
    wrong = mean_share_interval(np.zeros(len(groups)), groups, 200, seed=0)
    # Clopper and Pearson with the number of groups in place of that of cases.
    assert (right.low, right.value, right.high) == (pytest.approx(0.025 ** (1 / n_groups)), 1, 1)
    assert (wrong.low, wrong.value, wrong.high) == (0, 0, pytest.approx(1 - right.low))


def test_one_large_group_counts_for_little() -> None:
    groups = np.concatenate([np.arange(20), np.full(400, 20)])
    evidence = evidence_of(np.ones(420), groups)
    assert evidence.effective_groups == pytest.approx(420**2 / (400**2 + 20))
    each_once = evidence_of(np.ones(420), groups, 1 / np.bincount(groups)[groups])
    assert each_once.effective_groups == pytest.approx(21)


def test_groups_with_some_of_the_rarer_outcome_are_counted() -> None:
    groups = np.repeat(np.arange(4), 2)
    assert evidence_of(np.array([1, 1, 1, 0, 1, 1, 1, 1.0]), groups).rarer == 1
    assert evidence_of(np.array([0, 0, 1, 0, 1, 1, 0, 0.5]), groups).rarer == 3
    assert evidence_of(np.zeros(8), groups).rarer == 0


@pytest.mark.parametrize("truth", [0.01, 0.04, 0.98])
@pytest.mark.parametrize("likeness", [0.05, 0.9])
def test_rare_outcomes_are_covered_as_often_as_stated(truth: float, likeness: float) -> None:
    """Cases of a group agree more or less; percentiles alone hold the truth in 28 to 90 % here."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 6)
    concentration = (1 - likeness) / likeness
    hits = []
    for trial in range(150):
        of_group = rng.beta(truth * concentration, (1 - truth) * concentration, 30)
        values = (rng.random(180) < of_group[groups]).astype(np.float64)
        interval = mean_share_interval(values, groups, 100, seed=trial)
        hits.append(interval.low <= truth <= interval.high)
    assert np.mean(hits) >= 0.93


@pytest.mark.parametrize("agree", [False, True])
def test_in_the_middle_it_is_the_bootstraps(agree: bool) -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(120), 4)
    drawn = rng.random(120)[groups] if agree else rng.random(480)
    values = (drawn < 0.4).astype(np.float64)
    plain = mean_interval(values, groups, 500, seed=0)
    share = mean_share_interval(values, groups, 500, seed=0)
    assert share.low <= plain.low <= plain.high <= share.high
    assert share.high - share.low < 1.12 * (plain.high - plain.low)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=30))
def test_it_holds_the_value_and_is_a_share_of_a_width(rows: list[tuple[float, int]]) -> None:
    values, groups = np.array([v for v, _ in rows]), np.array([g for _, g in rows])
    interval = mean_share_interval(values, groups, 50, seed=0)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.low < interval.high


def test_a_share_of_weighted_cases_is_rounded_into_its_range() -> None:
    weights = np.array([1 / 3, 1 / 3, 1 / 3, 1.0])
    sums, _ = resample_sums(np.column_stack([weights, weights]), np.array([0, 0, 0, 1]), 50, 0)
    evidence = evidence_of(np.ones(4), np.array([0, 0, 0, 1]), weights)
    interval = share_interval(1 + 2e-16, sums[:, 0] / sums[:, 1] + 2e-16, evidence, 2)
    assert (interval.value, interval.high) == (1, 1)
