"""What is fitted, measured and kept beside a student."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mint_ray.errors import DataError
from mint_ray.evaluation.calibration.calibrator import (
    FILE,
    FORMAT,
    AnswerCalibration,
    calibrate,
    measure,
    read_calibration,
    write_calibration,
)
from mint_ray.evaluation.calibration.scores import ScoredCases
from mint_ray.reports.cards.model_card import write_model_card
from tests.evaluation.calibration.test_scores import cases_of, drawn

SEARCH: dict[str, Any] = {"search": "auto", "beam_width": 16, "top_k": 10}


def fitted(n: int = 400) -> AnswerCalibration:
    return calibrate(drawn(3.0, n=n, seed=1), 0.9, **SEARCH)


def measured(found: AnswerCalibration, cases: ScoredCases) -> dict[str, Any]:
    return measure(found, cases, 8, bins=10, samples=200, seed=0)


def test_an_overconfident_student_becomes_honest_on_other_cases() -> None:
    found = fitted()
    effect = measured(found, drawn(3.0, n=1500, seed=2))
    assert found.temperature == pytest.approx(3.0, rel=0.2)
    assert effect["after"]["nll"]["high"] < effect["before"]["nll"]["low"]
    for name in ("ece", "ece_mass"):
        assert effect["after"][name]["value"] < 0.06 < effect["before"][name]["low"]
    assert effect["after"]["coverage"]["value"] == pytest.approx(0.9, abs=0.03)
    assert 1 < effect["after"]["set_size"]["value"] < 8


def test_a_large_group_counts_once_in_macro_metrics() -> None:
    """A group of 300 cases that are answered right, and 20 groups of one that is not."""
    scores = np.log([0.7, 0.2, 0.1])
    cases = cases_of((scores,) * 320, [0] * 300 + [2] * 20)
    groups = np.array([0] * 300 + list(range(1, 21)))
    cases = replace(cases, groups=groups)
    effect = measured(fitted(), cases)["after"]
    assert (effect["top1"]["value"], effect["top1"]["n"]) == (pytest.approx(300 / 320), 320)
    assert (effect["top1_macro"]["value"], effect["top1_macro"]["n"]) == (pytest.approx(1 / 21), 21)
    assert {f"{name}_macro" for name in effect if not name.endswith("_macro")} <= set(effect)
    assert 0 < effect["mrr_macro"]["value"] < effect["mrr"]["value"]


def test_too_few_groups_give_the_whole_catalogue_and_say_so() -> None:
    found = fitted(n=5)
    effect = measured(found, drawn(3.0, n=50, seed=2))
    assert math.isinf(found.threshold)
    assert "at least 9 are needed" in found.remarks()[0]
    assert effect["after"]["set_size"]["value"] == 8
    assert effect["after"]["coverage"]["value"] == 1


def test_answers_that_a_search_does_not_reach_are_in_no_set() -> None:
    """What nobody will be shown covers nothing: neither when it is fitted nor when measured."""
    found = calibrate(partly_reached(0.05, seed=1), 0.9, **SEARCH)
    effect = measured(found, partly_reached(0.05, seed=2))
    assert found.not_reached > 0
    assert len(found.misfit) == found.cases - found.not_reached
    assert effect["after"]["coverage"]["value"] == pytest.approx(0.9, abs=0.03)
    assert f"answer of {found.not_reached} of {found.cases}" in found.remarks()[-1]
    assert found.fits_none(0.0)  # its best answers are known all the same


def test_answers_that_the_search_does_not_reach_are_not_left_out_of_the_temperature() -> None:
    """Those that it reaches are mostly right, so that they alone call for more confidence."""

    def drawn_beam(seed: int) -> ScoredCases:
        rng = np.random.default_rng(seed)
        scores = -np.sort(-rng.normal(size=(400, 8)), axis=1) + [2, 0, 0, 0, 0, 0, 0, 0]
        answers = [0 if easy else 8 for easy in rng.random(400) < 0.4]
        return cases_of(tuple(scores), answers, unreached=-5.0)

    found = calibrate(drawn_beam(1), 0.9, **SEARCH)
    effect = measured(found, drawn_beam(2))
    assert found.temperature > 1
    assert effect["after"]["nll"]["value"] < effect["before"]["nll"]["value"]
    assert effect["after"]["ece"]["value"] < effect["before"]["ece"]["value"]


def test_a_search_that_reaches_too_few_answers_gives_the_whole_catalogue() -> None:
    found = calibrate(partly_reached(0.3, seed=1), 0.9, **SEARCH)
    effect = measured(found, partly_reached(0.3, seed=2))
    assert math.isinf(found.threshold)
    assert "reaches too few answers" in found.remarks()[0]
    assert effect["after"]["set_size"]["value"] == 8
    assert effect["after"]["coverage"]["value"] == 1


def test_a_right_answer_at_the_threshold_is_in_its_set() -> None:
    """Cases that look alike tie there, and all of them are meant."""
    scores = np.log([0.4, 0.25, 0.2, 0.15]) * 7.3
    answers = tuple(place % 4 for place in range(40))
    cases = cases_of((scores,) * 40, answers)
    found = calibrate(cases, 0.9, **SEARCH)
    assert measure(found, cases, 4, bins=10, samples=50, seed=0)["after"]["coverage"]["value"] == 1


def partly_reached(missed: float, seed: int) -> ScoredCases:
    """Cases of which a share was not reached by the search."""
    cases = drawn(3.0, n=1500, seed=seed)
    lost = np.random.default_rng(seed).random(len(cases)) < missed
    answers = [8 if gone else answer for gone, answer in zip(lost, cases.answers, strict=True)]
    return cases_of(cases.scores, answers, unreached=-12.0)


def test_none_of_these() -> None:
    found = calibrate(drawn(0.3, n=400, seed=1), 0.8, **SEARCH)
    flat = np.zeros(8)  # no name fits better than another
    unknown = cases_of((flat, flat), (None, 3))
    effect = measured(found, unknown)
    assert effect["after"]["none_of_these"]["value"] == 1
    assert effect["after"]["none_of_these_outside"]["n"] == 1
    assert effect["after"]["none_of_these_inside"]["n"] == 1
    assert effect["after"]["coverage"]["n"] == 1  # of those that the catalogue can answer
    assert effect["after"]["coverage"]["value"] == 0
    nobody = cases_of((flat,), (None,))
    assert measured(found, nobody)["after"]["coverage"]["value"] is None
    assert measured(found, nobody)["after"]["none_of_these_inside"]["value"] is None
    sure = np.array([20.0, *[0.0] * 7])
    parts = measured(found, cases_of((sure, sure, flat, sure), (0, None, None, None)))["after"]
    assert parts["none_of_these_inside"]["value"] == 0
    assert parts["none_of_these_outside"]["value"] == pytest.approx(1 / 3)
    assert parts["none_of_these"]["value"] == pytest.approx(1 / 4)
    assert found.fit_of_best(1 / 8) < 0.2 < found.fit_of_best(0.999)
    assert not found.contains(np.full(8, 1 / 8)).any()


def test_a_weak_student_abstains_although_its_sets_are_never_empty() -> None:
    """Sets that hold the answers of a weak student hold every best answer."""
    found = calibrate(drawn(5.0, n=400, seed=1), 0.9, **SEARCH)
    inside = drawn(5.0, n=400, seed=2)
    strangers = cases_of([scores / 3 for scores in inside.scores], (None,) * 400)
    assert 0 < measured(found, inside)["after"]["none_of_these_inside"]["value"] < 0.15
    assert measured(found, strangers)["after"]["none_of_these_outside"]["value"] > 0.9
    earlier = replace(found, best_misfit=(), best_weights=())  # a file of an earlier release
    assert not measured(earlier, strangers)["after"]["none_of_these_outside"]["value"]


@pytest.mark.parametrize("n", [5, 400])
def test_it_is_read_as_it_was_written(n: int, tmp_path: Path) -> None:
    found = fitted(n).with_measured(measured(fitted(n), drawn(3.0, n=50, seed=2)))
    write_calibration(tmp_path, found)
    assert read_calibration(tmp_path) == found
    info = {"base_model": "m", "base_revision": "r", "objective": "orpo", "task": "disease"}
    write_model_card(tmp_path, info | {"lineage": {"prefer": "prefer-1"}}, found, 8, "fold 1")
    card = (tmp_path / "README.md").read_text()
    assert "prefer-1" in card
    assert ("too few" in card) == (n == 5)


def test_a_folder_without_one_has_none(tmp_path: Path) -> None:
    assert read_calibration(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": "3"},
        {"temperature": 0},
        {"temperature": "warm"},
        {"coverage": 2},
        {"misfit": [0.1]},
        {"weights": None},
        {"search": "wide"},
        {"surprise": 1},
    ],
)
def test_a_damaged_one_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    content = {"format": FORMAT} | json.loads(json.dumps(asdict(fitted()))) | change
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(DataError, match=f"expected a calibration of format {FORMAT}"):
        read_calibration(tmp_path)
