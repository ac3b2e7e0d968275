import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mint_ray.students.objectives.rcft import calibration_terms, expectation, regime, targets

SCORES = st.lists(st.floats(-1e4, 0.0), min_size=2, max_size=30)


@given(SCORES, st.floats(0.0, 1.0))
@settings(max_examples=200, deadline=None)
def test_targets_are_finite_keep_the_order_and_sum_to_what_is_left(
    values: list[float], accuracy: float
) -> None:
    log_p = torch.tensor(values, dtype=torch.float64)
    wanted = targets(log_p, torch.tensor(accuracy, dtype=torch.float64))
    assert torch.isfinite(wanted).all()
    assert float(wanted.sum()) == pytest.approx(1.0 - accuracy, abs=1e-9)
    order = log_p.argsort()
    assert (wanted[order].diff() >= -1e-12).all()


def test_targets_of_four_options_by_hand() -> None:
    p = torch.tensor([0.2, 0.1, 0.05], dtype=torch.float64)
    accuracy = 0.6
    gamma = math.log(3) / 0.2 / (1 - accuracy)
    curve = torch.tanh(gamma * p)
    a = (1 - accuracy) / (curve.sum() + 3)
    found = targets(p.log(), torch.tensor(accuracy, dtype=torch.float64))
    torch.testing.assert_close(found, a * curve + a)


def test_bins_hold_their_accuracy_and_empty_ones_hurt_nobody() -> None:
    confidence = np.array([0.95, 0.91, 0.55, 1.0])
    bins = expectation(confidence, np.array([True, False, False, True]), 10)
    assert bins.bin_of.tolist() == [9, 9, 5, 9]
    assert bins.sizes.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 3]
    assert bins.accuracy[9].item() == pytest.approx(2 / 3)
    assert bins.accuracy[5].item() == 0.0
    assert bins.accuracy[0].item() == pytest.approx(0.05)


def test_the_mean_over_examples_is_the_paper_s_sum_over_bins() -> None:
    confidence = np.array([0.95, 0.91, 0.55])
    bins = expectation(confidence, np.array([True, False, False]), 10)
    log_p = [torch.tensor([c, 1 - c], dtype=torch.float64).log() for c in confidence]
    mean = sum(float(calibration_terms(log_p[i], bins, i)) for i in range(3)) / 3

    def by_hand(i: int, accuracy: float) -> float:
        p = log_p[i].exp()
        wanted = float(targets(log_p[i][1:], torch.tensor(accuracy, dtype=torch.float64)))
        return float((p[0] - accuracy) ** 2 + (p[1] - wanted) ** 2)

    expected = (by_hand(0, 0.5) + by_hand(1, 0.5)) / 2 + by_hand(2, 0.0)
    assert mean == pytest.approx(expected, rel=1e-6)


def draw(n: int, correct_at: float, scale: float) -> tuple[list[np.ndarray], list[int | None]]:
    """Scores with a lead of `scale`, the leader right with probability `correct_at`."""
    rng = np.random.default_rng(0)
    scores = [np.array([scale, 0.0, 0.0, 0.0]) for _ in range(n)]
    return scores, [0 if rng.random() < correct_at else 1 for _ in range(n)]


def test_overconfidence_that_a_temperature_mends_is_calibratable() -> None:
    found = regime(*draw(400, 0.6, 8.0), bins=10)
    assert found.ece > 0.3
    assert found.calibratable
    assert found.temperature > 2


def test_confident_errors_beside_unsure_hits_are_not() -> None:
    sure, sure_answers = draw(300, 0.1, 6.0)
    unsure, unsure_answers = draw(300, 0.95, 0.5)
    found = regime(sure + unsure, sure_answers + unsure_answers, bins=10)
    assert not found.calibratable
    assert found.floor > found.noise
    assert "rcft" in found.advice()


def test_a_missing_answer_is_wrong() -> None:
    found = regime([np.array([3.0, 0.0])] * 5, [None] * 5, bins=10)
    assert found.accuracy == 0.0
