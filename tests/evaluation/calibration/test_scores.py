"""Scores as probabilities, and the temperature that fits them."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mint_ray.errors import DataError
from mint_ray.evaluation.calibration.scores import (
    SCORES_SCHEMA,
    ScoredCases,
    case_values,
    fit_temperature,
    probabilities,
    scored_cases,
)


def drawn(temperature: float, n: int = 4000, labels: int = 8, seed: int = 0) -> ScoredCases:
    """Cases whose answers are drawn from the softmax of their scores / temperature."""
    rng = np.random.default_rng(seed)
    scores = -np.sort(-rng.normal(scale=3.0, size=(n, labels)), axis=1)
    answers = [int(rng.choice(labels, p=probabilities(row, temperature))) for row in scores]
    return ScoredCases(
        tuple(f"c{i}" for i in range(n)), np.arange(n), tuple(scores), tuple(answers)
    )


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    assert fit_temperature(drawn(temperature)) == pytest.approx(temperature, rel=0.06)


def test_cases_beyond_the_catalogue_teach_no_temperature() -> None:
    cases = drawn(2.0, n=300)
    mixed = ScoredCases(
        (*cases.case_ids, "x"),
        np.arange(301),
        (*cases.scores, np.array([9.0, 0.0])),
        (*cases.answers, None),
    )
    assert fit_temperature(mixed) == pytest.approx(fit_temperature(cases), rel=1e-3)
    nobody = ScoredCases(("x",), np.zeros(1, np.int64), (np.array([1.0]),), (None,))
    with pytest.raises(DataError, match="found none of 1"):
        fit_temperature(nobody)


def test_without_a_wrong_answer_the_temperature_stays_a_number() -> None:
    scores = tuple(np.array([5.0, 0.0, -1.0]) for _ in range(20))
    sure = ScoredCases(tuple(f"c{i}" for i in range(20)), np.arange(20), scores, (0,) * 20)
    assert math.exp(-3.0) <= fit_temperature(sure) < 0.5


@given(st.lists(st.floats(-500, 0), min_size=1, max_size=9), st.floats(0.05, 20))
def test_a_temperature_changes_no_order(scores: list[float], temperature: float) -> None:
    ranked = np.sort(np.array(scores))[::-1]
    found = probabilities(ranked, temperature)
    assert found.sum() == pytest.approx(1.0)
    assert (np.diff(found) <= 0).all()


def test_metrics_of_cases() -> None:
    scores = (np.log([0.5, 0.3, 0.2]), np.log([0.9, 0.1]), np.log([0.6, 0.4]))
    cases = ScoredCases(("a", "b", "c"), np.arange(3), scores, (1, 0, None))
    values = case_values(cases, 1.0)
    np.testing.assert_allclose(values["mrr"], [0.5, 1.0, 0.0])
    np.testing.assert_allclose(values["top1"], [0.0, 1.0, 0.0])
    np.testing.assert_allclose(values["nll"][:2], -np.log([0.3, 0.9]))
    assert values["nll"][2] > 20


def test_cases_that_could_not_be_shown_are_left_out() -> None:
    row = {"case_id": "a", "group_id": "g", "scores": [0.0, -1.0], "answer_rank": 2}
    bad = {"case_id": "b", "group_id": "g", "scores": [], "reason": "image_unreadable"}
    cases = scored_cases(pa.Table.from_pylist([row, bad], SCORES_SCHEMA))
    assert (cases.case_ids, cases.answers) == (("a",), (1,))
    with pytest.raises(DataError, match="none of 1"):
        scored_cases(pa.Table.from_pylist([bad], SCORES_SCHEMA))


def test_answers_far_below_the_best_name_still_show_which_temperature_is_the_best() -> None:
    """With a floor under the probabilities the loss would be flat where the search begins."""
    right = (np.array([0.0, -1.0]), 0)
    wrong = (np.array([0.0, -80.0]), 1)
    scores, answers = zip(*[right] * 4, *[wrong] * 6, strict=True)
    cases = ScoredCases(tuple(f"c{i}" for i in range(10)), np.arange(10), scores, answers)
    found = fit_temperature(cases)
    assert found > 19
    likelihood = [case_values(cases, t)["nll"].mean() for t in (found, 1.0, 0.05)]
    assert likelihood[0] == min(likelihood)


def test_an_answer_that_the_search_did_not_reach_has_no_probability() -> None:
    rows = [
        {"case_id": "a", "group_id": "g", "scores": [0.0, -1.0], "answer_rank": 500},
        {"case_id": "b", "group_id": "h", "scores": [0.0, -1.0], "answer_rank": 1},
    ]
    cases = scored_cases(pa.Table.from_pylist(rows, SCORES_SCHEMA))
    assert cases.answerable.tolist() == [True, True]
    assert cases.reached.tolist() == [False, True]
    values = case_values(cases, 1.0)
    assert values["nll"][0] > 20
    np.testing.assert_allclose(values["mrr"], [1 / 500, 1.0])
    assert values["top10"].tolist() == [0.0, 1.0]
    with pytest.raises(DataError, match="reached by the search, found none of 1"):
        fit_temperature(scored_cases(pa.Table.from_pylist(rows[:1], SCORES_SCHEMA)))
