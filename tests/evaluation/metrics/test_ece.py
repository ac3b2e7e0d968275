from collections.abc import Callable

import numpy as np
import pytest

from mint_ray.evaluation.metrics.ece import (
    assign_bins,
    ece_of_sums,
    equal_mass_bins,
    gap_columns,
    reliability,
)
from mint_ray.evaluation.outcomes import Outcomes

Build = Callable[..., Outcomes]


def ece(outcome: Outcomes, bins: int = 10) -> float:
    bin_of_case = assign_bins(outcome.confidence, bins)
    gaps = gap_columns(outcome.confidence, outcome.correct, bin_of_case, bins)
    return float(ece_of_sums(gaps.sum(axis=0), len(outcome.rank)))


def test_bins_of_equal_mass_hold_equally_many_cases() -> None:
    confidence = np.random.default_rng(0).beta(20, 1, 1000)
    assert np.bincount(assign_bins(confidence, 10)).max() > 800
    found = equal_mass_bins(confidence, 10)
    assert np.bincount(found).tolist() == [100] * 10
    assert (np.diff(found[np.argsort(confidence)]) >= 0).all()
    assert equal_mass_bins(np.array([0.9, 0.1, 0.4]), 10).tolist() == [8, 1, 5]
    assert equal_mass_bins(np.array([]), 10).tolist() == []


def test_equal_confidences_stay_in_one_bin_of_equal_mass() -> None:
    assert equal_mass_bins(np.array([0.2, 1.0, 1.0, 1.0]), 4).tolist() == [0, 2, 2, 2]


def test_weights_decide_on_equal_mass() -> None:
    weights = np.array([3.0, 1.0, 1.0, 1.0])
    assert equal_mass_bins(np.array([0.1, 0.2, 0.3, 0.4]), 2, weights).tolist() == [0, 1, 1, 1]


def test_bins_of_equal_mass_see_what_equal_widths_hide() -> None:
    """All are surer than 0.9: the surer half is always right, the other half never is."""
    confidence = np.array([0.94, 0.94, 0.96, 0.96])
    correct = np.array([False, False, True, True])
    by_width = gap_columns(confidence, correct, assign_bins(confidence, 10), 10)
    by_mass = gap_columns(confidence, correct, equal_mass_bins(confidence, 2), 2)
    assert ece_of_sums(by_width.sum(axis=0), 4) == pytest.approx(0.45)
    assert ece_of_sums(by_mass.sum(axis=0), 4) == pytest.approx((0.94 + 0.04) / 2)


def test_bins_hold_their_lower_edge_and_the_last_holds_one() -> None:
    assert assign_bins(np.array([0.0, 0.25, 0.49, 0.5, 1.0]), 4).tolist() == [0, 1, 1, 2, 3]


def test_ece_by_hand(outcome_of: Build) -> None:
    # Bin 0.9-1: mean confidence 0.95, accuracy 0.5. Bin 0.2-0.3: 0.25 and 0. Two cases each.
    outcome = outcome_of([0.92, 0.98, 0.25, 0.25], [True, False, False, False])
    assert ece(outcome) == pytest.approx(0.5 * 0.45 + 0.5 * 0.25)


def test_perfect_calibration_is_zero(outcome_of: Build) -> None:
    assert ece(outcome_of([0.5, 0.5, 1.0], [True, False, True])) == 0


def test_ece_equals_its_definition(outcome_of: Build) -> None:
    rng = np.random.default_rng(1)
    confidence = rng.random(500)
    outcome = outcome_of(confidence.tolist(), (rng.random(500) < confidence**2).tolist())
    expected = sum(b.n / 500 * abs(b.confidence - b.accuracy) for b in reliability(outcome, 15))
    assert ece(outcome, 15) == pytest.approx(expected)


def test_reliability_lists_only_bins_with_cases(outcome_of: Build) -> None:
    found = reliability(outcome_of([0.1, 0.9, 0.92], [False, True, False]), 2)
    assert [(b.n, b.accuracy) for b in found] == [(1, 0.0), (2, 0.5)]
    assert found[1].confidence == pytest.approx(0.91)
