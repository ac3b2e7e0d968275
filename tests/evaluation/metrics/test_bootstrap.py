import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mint_ray.evaluation.metrics import bootstrap as intervals
from mint_ray.evaluation.metrics.bootstrap import (
    mean_interval,
    percentile_interval,
    resample_sums,
)


def test_resamples_are_sums_over_whole_groups() -> None:
    values = np.array([[1.0], [10.0], [100.0], [1000.0]])
    groups = np.array([7, 7, 3, 9])
    sums, counts = resample_sums(values, groups, samples=50, seed=5)
    drawn = np.random.default_rng(5).integers(0, 3, size=(50, 3))
    of_group = np.array([100.0, 11.0, 1000.0])  # groups in order of their number: 3, 7, 9
    sizes = np.array([1, 2, 1])
    np.testing.assert_allclose(sums[:, 0], of_group[drawn].sum(axis=1))
    np.testing.assert_allclose(counts, sizes[drawn].sum(axis=1))


def test_many_groups_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((200, 2))
    whole = resample_sums(values, np.arange(200), 30, seed=1)
    monkeypatch.setattr(intervals, "_MOST_CELLS", 200 * 7)
    parts = resample_sums(values, np.arange(200), 30, seed=1)
    np.testing.assert_allclose(parts[0], whole[0])


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    hits = 0
    for trial in range(300):
        values = np.repeat(rng.normal(size=40), 5) + rng.normal(size=200)
        interval = mean_interval(values, groups, 300, seed=trial)
        hits += interval.low <= 0 <= interval.high
    assert 0.89 <= hits / 300 <= 0.98


def test_groups_widen_the_interval() -> None:
    values = np.repeat(np.random.default_rng(0).integers(0, 2, 50), 10).astype(float)
    clustered = mean_interval(values, np.repeat(np.arange(50), 10), 500, seed=0)
    independent = mean_interval(values, np.arange(500), 500, seed=0)
    assert clustered.high - clustered.low > 2 * (independent.high - independent.low)


def test_same_seed_same_interval() -> None:
    values, groups = np.random.default_rng(0).random(100), np.arange(100)
    assert mean_interval(values, groups, 200, 3) == mean_interval(values, groups, 200, 3)
    assert mean_interval(values, groups, 200, 3) != mean_interval(values, groups, 200, 4)


def test_paired_difference_is_narrower_than_two_intervals() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(400)
    first, second = (hard > 0.3).astype(float), (hard > 0.4).astype(float)
    difference = mean_interval(first - second, np.arange(400), 500, seed=0)
    assert difference.value == pytest.approx(first.mean() - second.mean())
    assert 0 < difference.low < difference.high
    assert difference.n == 400


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=30))
def test_interval_holds_the_value(rows: list[tuple[float, int]]) -> None:
    values, groups = np.array([v for v, _ in rows]), np.array([g for _, g in rows])
    interval = mean_interval(values, groups, 100, seed=0)
    assert interval.low <= interval.value <= interval.high
    assert interval.n == len(rows)


def test_biased_resamples_are_widened_to_the_value() -> None:
    interval = percentile_interval(0.1, np.linspace(0.2, 0.4, 100), 7)
    assert (interval.low, interval.n) == (0.1, 7)
    assert interval.high == pytest.approx(0.395)
