"""Contrasts: weighted sums of systems, with the same resamples for all of them."""

import json
from pathlib import Path

import numpy as np
import pytest

from mint_ray.evaluation.comparison import write_differences
from mint_ray.evaluation.contrasts import contrasts_of
from mint_ray.evaluation.metrics.compute import COMPARED
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes, collect_outcomes
from tests.evaluation.conftest import NAMES, Row, predictions_of
from tests.evaluation.evaluated import cases_of_one_answer

FOUR = ("late_noisy", "early_noisy", "late_clean", "early_clean")
CROSSOVER = dict(zip(FOUR, (1.0, -1.0, -1.0, 1.0), strict=True))


def right_on(system: str, cases: str) -> list[Row]:
    """A list without probabilities: right first answers on some of a, b and c, else a wrong one."""
    known = {"a": "OMIM:1", "b": "OMIM:2", "c": "OMIM:3"}
    answers = {case: label if case in cases else "OMIM:1" for case, label in known.items()}
    answers["a"] = "OMIM:1" if "a" in cases else "OMIM:2"
    return [(case, system, 1, label, NAMES[label][0], None) for case, label in answers.items()]


@pytest.fixture
def four(cases: EvaluatedCases) -> dict[str, Outcomes]:
    """Right on abc, b, a and ab, of a and b (one group), c and d (a group each)."""
    right = dict(zip(FOUR, ("abc", "b", "a", "ab"), strict=True))
    rows = [row for system, inside in right.items() for row in right_on(system, inside)]
    return collect_outcomes(predictions_of(rows), cases, top_k=2)


def test_the_value_is_that_of_a_calculation_by_hand(
    four: dict[str, Outcomes], cases: EvaluatedCases
) -> None:
    found = contrasts_of(four, cases, {"order": CROSSOVER}, samples=200, seed=0)["order"]
    # Over cases (3/4 - 1/4) - (1/4 - 2/4); over groups, of which a and b are one,
    # (2/3 - 1/6) - (1/6 - 1/3).
    over_cases, over_groups = (found.strata["all"][name] for name in ("top1", "top1_macro"))
    assert over_cases["value"] == pytest.approx(3 / 4)
    assert over_groups["value"] == pytest.approx(2 / 3)
    assert (over_cases["n"], over_groups["n"]) == (4, 3)
    # Of a and b, which are seen: (1 - 1/2) - (1/2 - 1), and one group has no other resample.
    seen = found.strata["seen"]["top1"]
    assert (seen["value"], seen["low"], seen["high"]) == (1.0, 1.0, 1.0)
    assert list(found.strata["all"]) == list(COMPARED)
    assert found.weights == CROSSOVER


def test_the_interval_is_that_of_resampled_groups(cases: EvaluatedCases) -> None:
    """Against a bootstrap written out, with the same groups drawn for all four systems."""
    rng = np.random.default_rng(5)
    n = 120
    groups = rng.integers(0, 40, n)
    many = cases_of_one_answer(cases, groups)
    shares = dict(zip(FOUR, (0.6, 0.3, 0.4, 0.5), strict=True))
    rights = {name: rng.random(n) < share for name, share in shares.items()}
    rows: list[Row] = [
        (str(case), name, 1, label, NAMES[label][0], None)
        for name, right in rights.items()
        for case in range(n)
        for label in ["OMIM:1" if right[case] else "OMIM:2"]
    ]
    outcomes = collect_outcomes(predictions_of(rows), many, 1)
    found = contrasts_of(outcomes, many, {"order": CROSSOVER}, samples=4000, seed=0)["order"]
    a, b, c, d = (rights[name].astype(float) for name in FOUR)
    gaps = (a - b) - (c - d)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn = rng.integers(0, len(members), (4000, len(members)))
    resampled = [gaps[np.concatenate([members[i] for i in row])].mean() for row in drawn]
    value = found.strata["all"]["top1"]
    assert value["value"] == pytest.approx(gaps.mean())
    low, high = np.percentile(resampled, [2.5, 97.5])
    assert value["low"] == pytest.approx(low, abs=0.02)
    assert value["high"] == pytest.approx(high, abs=0.02)


def test_four_alike_cross_nowhere(four: dict[str, Outcomes], cases: EvaluatedCases) -> None:
    same = dict.fromkeys(FOUR, four[FOUR[0]])
    found = contrasts_of(same, cases, {"order": CROSSOVER}, samples=100, seed=0)["order"]
    values = found.strata["all"].values()
    assert {(item["low"], item["value"], item["high"]) for item in values} == {(0.0, 0.0, 0.0)}


def test_the_file_has_the_weights_of_a_contrast(
    four: dict[str, Outcomes], cases: EvaluatedCases, tmp_path: Path
) -> None:
    contrasts = contrasts_of(four, cases, {"order": CROSSOVER}, samples=100, seed=0)
    write_differences(tmp_path / "with.json", "orpo", {}, contrasts)
    write_differences(tmp_path / "without.json", "orpo", {})
    tree = json.loads((tmp_path / "with.json").read_text())["contrasts"]["order"]
    assert tree["weights"] == CROSSOVER
    assert tree["strata"]["all"]["top1"]["value"] == pytest.approx(0.75)
    assert "contrasts" not in json.loads((tmp_path / "without.json").read_text())
