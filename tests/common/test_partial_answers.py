"""Orders of labels, of which some are not answered."""

import numpy as np
import pytest

from mint_ray.common.partial_answers import ALL_ANSWERED, is_answered, order_labels

FLOOR = float(np.float32(-7.3))


def test_a_score_at_the_floor_is_no_answer_in_single_precision() -> None:
    scores = np.array([FLOOR, np.nextafter(np.float32(FLOOR), np.float32(0)), np.nan], np.float32)
    assert is_answered(scores, FLOOR).tolist() == [False, True, False]


def test_without_a_floor_all_but_nan_are_answers() -> None:
    scores = np.array([-np.inf, -1.0, np.nan], np.float32)
    assert is_answered(scores, ALL_ANSWERED).tolist() == [True, True, False]


def test_answered_labels_come_first_and_ties_among_them_keep_their_order() -> None:
    scores = np.array([FLOOR, -1, FLOOR, -2, -1, FLOOR, FLOOR, FLOOR], np.float32)
    orders = [order_labels(scores, FLOOR, f"case-{number}").tolist() for number in range(20)]
    assert all(order[:3] == [1, 4, 3] for order in orders)
    assert all(sorted(order[3:]) == [0, 2, 5, 6, 7] for order in orders)
    assert len({tuple(order) for order in orders}) > 10
    assert orders[0] == order_labels(scores, FLOOR, "case-0").tolist()


@pytest.mark.parametrize("seed", ["a", "b"])
def test_a_system_that_answers_for_all_is_not_shuffled(seed: str) -> None:
    scores = np.array([-3, -1, -1, -2], np.float32)
    assert order_labels(scores, ALL_ANSWERED, seed).tolist() == [1, 2, 3, 0]
