from collections.abc import Callable

import numpy as np
import pytest

from mint_ray.common.arrays import Floats
from mint_ray.evaluation.metrics.bootstrap import macro_weights, resample_blocks
from mint_ray.evaluation.metrics.ece import (
    assign_bins,
    debiased_ece,
    ece_of_sums,
    equal_mass_bins,
    gap_columns,
    pair_blocks,
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


def debiased(
    confidence: Floats,
    correct: np.ndarray,
    groups: np.ndarray,
    *,
    samples: int = 2,
    macro: bool = False,
) -> Floats:
    weights = macro_weights(groups) if macro else None
    bin_of_case = assign_bins(confidence, 10)
    gaps = gap_columns(confidence, correct, bin_of_case, 10)
    blocks = {"gaps": gaps} | pair_blocks(gaps, bin_of_case, groups, weights)
    sums = resample_blocks(blocks, groups, samples, 0, weights)
    return debiased_ece(sums["gaps"], sums)


def test_perfect_calibration_has_a_debiased_error_near_zero() -> None:
    rng = np.random.default_rng(0)
    plain, corrected = [], []
    for _ in range(300):
        confidence = rng.random(400)
        correct = rng.random(400) < confidence
        gaps = gap_columns(confidence, correct, assign_bins(confidence, 10), 10)
        plain.append(float(ece_of_sums(gaps.sum(axis=0), 400)))
        corrected.append(float(debiased(confidence, correct, np.arange(400))[0]))
    assert np.mean(plain) == pytest.approx(0.05, abs=0.015)
    assert abs(np.mean(corrected)) < 0.01
    # Squares are unbiased, so half of them are below zero or nearly so.
    squares = np.sign(corrected) * np.square(corrected)
    assert abs(squares.mean()) < 3 * squares.std() / np.sqrt(300)


def test_a_debiased_error_finds_what_is_wrong() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(100):
        confidence = rng.uniform(0.3, 0.9, 400)
        correct = rng.random(400) < confidence - 0.2
        found.append(float(debiased(confidence, correct, np.arange(400))[0]))
    assert np.mean(found) == pytest.approx(0.2, abs=0.01)


def test_a_debiased_error_is_that_of_kumar_where_each_case_is_a_group() -> None:
    """Σ p_b ((confidence − accuracy)² − accuracy (1 − accuracy) / (n_b − 1)), to the root."""
    confidence = np.repeat([0.25, 0.85], [10, 30])
    correct = np.arange(40) % 5 == 0
    square = 0.0
    for value in (0.25, 0.85):
        inside = correct[confidence == value]
        accuracy, n = inside.mean(), len(inside)
        square += n / 40 * ((value - accuracy) ** 2 - accuracy * (1 - accuracy) / (n - 1))
    assert debiased(confidence, correct, np.arange(40))[0] == pytest.approx(np.sqrt(square))


@pytest.mark.parametrize("macro", [False, True])
def test_cases_of_a_group_are_no_evidence_of_each_other(macro: bool) -> None:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(300):
        confidence = np.repeat(rng.random(100), 4)
        correct = np.repeat(rng.random(100) < confidence[::4], 4)
        groups = np.repeat(np.arange(100), 4)
        value = float(debiased(confidence, correct, groups, macro=macro)[0])
        found.append(np.sign(value) * value**2)
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(300)


def test_resamples_of_a_debiased_error_lie_about_it() -> None:
    rng = np.random.default_rng(4)
    confidence = rng.uniform(0.3, 0.9, 400)
    correct = rng.random(400) < confidence - 0.1
    values = debiased(confidence, correct, np.arange(400), samples=500)
    low, high = np.percentile(values[1:], [2.5, 97.5])
    assert low < values[0] < high
    assert np.median(values[1:]) == pytest.approx(values[0], abs=0.02)


def test_a_bin_of_a_single_group_says_nothing() -> None:
    same = debiased(np.array([0.95, 0.95]), np.array([False, False]), np.array([7, 7]))
    assert same[0] == 0


def test_reliability_lists_only_bins_with_cases(outcome_of: Build) -> None:
    found = reliability(outcome_of([0.1, 0.9, 0.92], [False, True, False]), 2)
    assert [(b.n, b.accuracy) for b in found] == [(1, 0.0), (2, 0.5)]
    assert found[1].confidence == pytest.approx(0.91)
