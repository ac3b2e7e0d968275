import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mint_ray.students.objectives.rcft import (
    TARGETS,
    calibration_terms,
    expectation,
    paper_targets,
    proportional_targets,
    regime,
)

SCORES = st.lists(st.floats(-1e4, 0.0), min_size=2, max_size=30)


@pytest.mark.parametrize("name", sorted(TARGETS))
@given(values=SCORES, accuracy=st.floats(0.0, 1.0))
@settings(max_examples=200, deadline=None)
def test_targets_are_finite_keep_the_order_and_sum_to_what_is_left(
    name: str, values: list[float], accuracy: float
) -> None:
    log_p = torch.tensor(values, dtype=torch.float64)
    wanted = TARGETS[name](log_p, torch.tensor(accuracy, dtype=torch.float64))
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
    found = paper_targets(p.log(), torch.tensor(accuracy, dtype=torch.float64))
    torch.testing.assert_close(found, a * curve + a)


def test_the_paper_s_targets_flatten_with_many_candidates_and_proportional_ones_do_not() -> None:
    p = 0.5 * 0.4 ** torch.arange(23, dtype=torch.float64)  # below the first of 24 candidates
    accuracy = torch.tensor(0.3, dtype=torch.float64)
    flat = paper_targets(p.log(), accuracy)
    assert float(flat[0]) == pytest.approx(0.054, abs=5e-4)
    assert float(flat[0] / flat[-1]) < 2
    own = proportional_targets(p.log(), accuracy)
    assert float(own[0]) == pytest.approx(0.3)
    torch.testing.assert_close(own[1:] / own[1], p[1:] / p[1])


def test_proportional_targets_by_hand() -> None:
    p = torch.tensor([0.2, 0.1, 0.1], dtype=torch.float64)

    def found(accuracy: float) -> Tensor:
        return proportional_targets(p.log(), torch.tensor(accuracy, dtype=torch.float64))

    torch.testing.assert_close(found(0.6), torch.tensor([0.2, 0.1, 0.1]).double())
    # Half of 0.68 would be above 0.32, so that the others get more than a quarter each.
    torch.testing.assert_close(found(0.32), torch.tensor([0.32, 0.18, 0.18]).double())
    torch.testing.assert_close(found(0.1), torch.tensor([0.3, 0.3, 0.3]).double())
    torch.testing.assert_close(found(1.0), torch.zeros(3).double())


@given(SCORES, st.floats(0.0, 1.0))
@settings(max_examples=200, deadline=None)
def test_no_proportional_target_is_above_the_first_unless_guessing_is_better(
    values: list[float], accuracy: float
) -> None:
    log_p = torch.tensor(values, dtype=torch.float64)
    found = proportional_targets(log_p, torch.tensor(accuracy, dtype=torch.float64))
    assert float(found.max()) <= max(accuracy, (1 - accuracy) / len(values)) + 1e-12


def test_bins_hold_their_accuracy_and_empty_ones_hurt_nobody() -> None:
    confidence = np.array([0.95, 0.91, 0.55, 1.0])
    bins = expectation(confidence, np.array([True, False, False, True]), np.ones(4, np.bool_), 10)
    assert bins.bin_of.tolist() == [9, 9, 5, 9]
    assert bins.sizes.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 3]
    assert bins.accuracy[9].item() == pytest.approx(2 / 3)
    assert bins.accuracy[5].item() == 0.0
    assert bins.accuracy[0].item() == pytest.approx(0.05)


def test_an_example_without_its_answer_among_the_candidates_has_no_bin() -> None:
    confidence, correct = np.array([0.95, 0.91, 0.55]), np.array([True, False, False])
    bins = expectation(confidence, correct, np.array([True, False, True]), 10)
    assert bins.bin_of.tolist() == [9, -1, 5]
    assert bins.sizes.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    assert bins.accuracy[9].item() == 1.0


def test_the_mean_over_examples_is_the_paper_s_sum_over_bins() -> None:
    confidence = np.array([0.95, 0.91, 0.55])
    bins = expectation(confidence, np.array([True, False, False]), np.ones(3, np.bool_), 10)
    log_p = [torch.tensor([c, 1 - c], dtype=torch.float64).log() for c in confidence]
    terms = [calibration_terms(log_p[i], bins, i, paper_targets) for i in range(3)]
    mean = sum(map(float, terms)) / 3

    def by_hand(i: int, accuracy: float) -> float:
        p = log_p[i].exp()
        wanted = float(paper_targets(log_p[i][1:], torch.tensor(accuracy, dtype=torch.float64)))
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
