from collections.abc import Callable

import numpy as np
import pytest

from mint_ray.evaluation.metrics.ece import (
    assign_bins,
    ece_of_sums,
    gap_columns,
    mass_gap_columns,
    reliability,
)
from mint_ray.evaluation.outcomes import Outcomes

Build = Callable[..., Outcomes]


def ece(outcome: Outcomes, bins: int = 10) -> float:
    return float(ece_of_sums(gap_columns(outcome, bins).sum(axis=0), len(outcome.rank)))


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


def test_equal_mass_bins_share_the_cases_and_keep_ties_together() -> None:
    confidence = np.array([0.91, 0.92, 0.93, 0.94, 0.95, 0.95, 0.95, 0.99])
    correct = np.array([True, False, True, True, True, True, False, True])
    columns = mass_gap_columns(confidence, correct, 4)
    rows_of_bin = [np.flatnonzero(columns[:, b]).tolist() for b in range(4)]
    assert sorted(row for rows in rows_of_bin for row in rows) == list(range(8))
    ties = next(rows for rows in rows_of_bin if 4 in rows)
    assert {4, 5, 6} <= set(ties)
    assert [len(rows) for rows in rows_of_bin] == [2, 2, 0, 4]
    # Equal-width bins put all of them in one, where errors of both kinds cancel.
    in_one = abs((confidence - correct).mean())
    assert ece_of_sums(columns.sum(axis=0), 8) > in_one
    assert mass_gap_columns(confidence[:0], correct[:0], 4).shape == (0, 4)
