"""Scores as probabilities, and the temperature that fits them."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from mint_ray.common.arrays import Floats
from mint_ray.errors import DataError
from mint_ray.evaluation.calibration.scores import (
    SCORES_SCHEMA,
    ScoredCases,
    answer_log_probability,
    case_values,
    fit_confidence,
    probabilities,
    scored_cases,
)


def drawn(temperature: float, n: int = 4000, labels: int = 8, seed: int = 0) -> ScoredCases:
    """Cases whose answers are drawn from the softmax of their scores / temperature."""
    rng = np.random.default_rng(seed)
    scores = -np.sort(-rng.normal(scale=3.0, size=(n, labels)), axis=1)
    answers = [int(rng.choice(labels, p=probabilities(row, temperature))) for row in scores]
    return cases_of(tuple(scores), tuple(answers))


def cases_of(
    scores: Sequence[Floats], answers: Sequence[int | None], unreached: float | None = None
) -> ScoredCases:
    """Cases of one group each; answers beyond their scores have the score `unreached`."""
    answer_scores = [
        None if a is None else float(s[a]) if a < len(s) else unreached
        for s, a in zip(scores, answers, strict=True)
    ]
    n = len(scores)
    return ScoredCases(
        tuple(f"c{i}" for i in range(n)),
        np.arange(n),
        tuple(scores),
        tuple(answers),
        tuple(answer_scores),
    )


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    assert fit_confidence(drawn(temperature)) == pytest.approx(temperature, rel=0.1)


def test_a_few_answers_out_of_reach_do_not_flatten_the_others() -> None:
    """A tenth of the answers is 30 nats below, which would rule a fit to their likelihood."""
    drawn_cases = drawn(1.0)
    lost = np.arange(len(drawn_cases)) % 10 == 0
    cases = replace(
        drawn_cases,
        answers=tuple(8 if far else a for far, a in zip(lost, drawn_cases.answers, strict=True)),
        answer_scores=tuple(
            -30.0 if far else score
            for far, score in zip(lost, drawn_cases.answer_scores, strict=True)
        ),
    )
    assert 1.0 < fit_confidence(cases) < 1.5


def test_of_several_minima_the_lowest_is_found() -> None:
    """Close names that are right ask for a sharp one, a sure name that is wrong for a flat one."""
    close, sure = np.array([0.0, -0.5]), np.array([0.0, -10.0])
    cases = cases_of([close] * 60 + [sure], [0] * 58 + [1] * 3)
    right = np.array([answer == 0 for answer in cases.answers])

    def loss(log_temperature: float) -> float:
        top = np.array([probabilities(row, math.exp(log_temperature))[0] for row in cases.scores])
        return float(-np.log(np.maximum(np.where(right, top, 1 - top), 1e-12)).mean())

    near_flat, near_sharp = [
        minimize_scalar(loss, bounds=bounds, method="bounded") for bounds in ((-1, 1), (-2.5, -1))
    ]
    assert near_sharp.fun < near_flat.fun
    assert math.log(fit_confidence(cases)) == pytest.approx(near_sharp.x, abs=1e-3)


def test_an_answer_beyond_the_catalogue_is_a_wrong_best_name() -> None:
    cases = drawn(2.0, n=300)
    mixed = cases_of((*cases.scores, *[np.array([9.0, 0.0])] * 20), (*cases.answers, *[None] * 20))
    assert fit_confidence(mixed) > fit_confidence(cases)
    nobody = cases_of((np.array([1.0]),), (None,))
    with pytest.raises(DataError, match="found none of 1"):
        fit_confidence(nobody)


def test_without_a_wrong_answer_the_temperature_stays_a_number() -> None:
    scores = tuple(np.array([5.0, 0.0, -1.0]) for _ in range(20))
    sure = cases_of(scores, (0,) * 20)
    assert math.exp(-3.0) <= fit_confidence(sure) < 0.5


@given(st.lists(st.floats(-500, 0), min_size=1, max_size=9), st.floats(0.05, 20))
def test_a_temperature_changes_no_order(scores: list[float], temperature: float) -> None:
    ranked = np.sort(np.array(scores))[::-1]
    found = probabilities(ranked, temperature)
    assert found.sum() == pytest.approx(1.0)
    assert (np.diff(found) <= 0).all()


def test_metrics_of_cases() -> None:
    scores = (np.log([0.5, 0.3, 0.2]), np.log([0.9, 0.1]), np.log([0.6, 0.4]))
    cases = cases_of(scores, (1, 0, None))
    values = case_values(cases, 1.0)
    np.testing.assert_allclose(values["mrr"], [0.5, 1.0, 0.0])
    np.testing.assert_allclose(values["top1"], [0.0, 1.0, 0.0])
    np.testing.assert_allclose(values["nll"][:2], -np.log([0.3, 0.9]))
    assert values["nll"][2] > 20


def test_cases_that_could_not_be_shown_are_left_out() -> None:
    row = {"case_id": "a", "group_id": "g", "scores": [0.0, -1.0], "answer_rank": 2}
    row["answer_score"] = -1.0
    bad = {"case_id": "b", "group_id": "g", "scores": [], "reason": "image_unreadable"}
    cases = scored_cases(pa.Table.from_pylist([row, bad], SCORES_SCHEMA))
    assert (cases.case_ids, cases.answers) == (("a",), (1,))
    with pytest.raises(DataError, match="none of 1"):
        scored_cases(pa.Table.from_pylist([bad], SCORES_SCHEMA))


def test_an_answer_that_the_search_did_not_reach_joins_the_sum_for_itself_alone() -> None:
    names, answer = np.log([0.5, 0.25]), math.log(0.125)
    unreached = answer_log_probability(names, answer, 1.0, reached=False)
    assert math.exp(unreached) == pytest.approx(0.125 / 0.875)
    assert math.exp(answer_log_probability(names, names[1], 1.0, reached=True)) == pytest.approx(
        probabilities(names, 1.0)[1]
    )
    better_than_all = answer_log_probability(names, 5.0, 1.0, reached=False)
    assert better_than_all < 0
    warmer = answer_log_probability(names, answer, 2.0, reached=False)
    root = np.sqrt([0.5, 0.25, 0.125])
    assert math.exp(warmer) == pytest.approx(root[2] / root.sum())


def test_answers_that_the_search_did_not_reach_are_measured() -> None:
    rows = [
        {"case_id": "a", "group_id": "g", "scores": [0.0, -1.0], "answer_rank": 500},
        {"case_id": "b", "group_id": "h", "scores": [0.0, -1.0], "answer_rank": 1},
    ]
    rows[0]["answer_score"], rows[1]["answer_score"] = -3.0, 0.0
    cases = scored_cases(pa.Table.from_pylist(rows, SCORES_SCHEMA))
    assert cases.answerable.tolist() == [True, True]
    assert cases.reached.tolist() == [False, True]
    values = case_values(cases, 1.0)
    total = 1 + math.exp(-1)
    expected = [3 + math.log(total + math.exp(-3)), math.log(total)]
    np.testing.assert_allclose(values["nll"], expected)
    np.testing.assert_allclose(values["mrr"], [1 / 500, 1.0])
    assert values["top10"].tolist() == [0.0, 1.0]


def test_answers_that_the_search_did_not_reach_cool_no_overconfident_student() -> None:
    """The answers that it reaches are the easy ones, and alone they call for more confidence."""
    rng = np.random.default_rng(0)
    easy = [-np.sort(-rng.normal(scale=1.0, size=8)) + [2, 0, 0, 0, 0, 0, 0, 0] for _ in range(40)]
    hard = [-np.sort(-rng.normal(scale=1.0, size=8)) + [2, 0, 0, 0, 0, 0, 0, 0] for _ in range(60)]
    answers = [0] * 40 + [8] * 60
    unreached = min(scores[-1] for scores in easy + hard) - 1.0
    cases = cases_of((*easy, *hard), answers, unreached)
    reached_alone = cases_of(easy, [0] * 40)
    assert fit_confidence(reached_alone) < 0.5
    assert fit_confidence(cases) > 1.5
    found = fit_confidence(cases)
    gap = [
        abs(np.mean([probabilities(s, t)[0] for s in cases.scores]) - 0.4)
        for t in (1.0, found, fit_confidence(reached_alone))
    ]
    assert gap[1] < gap[0] < gap[2]
