import json

import numpy as np
import pyarrow as pa
import pytest

from mint_ray.evaluation.metrics.compute import case_metrics, compare, evaluate
from mint_ray.evaluation.metrics.teacher_agreement import (
    TeacherLists,
    coverage_avoidance_rate,
    teacher_metrics,
)
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes, collect_outcomes, index_cases
from mint_ray.evaluation.predictions import rank_scores
from tests.evaluation.conftest import PRIMARY, predictions_of


@pytest.fixture
def teacher() -> TeacherLists:
    top = [["OMIM:1", "OMIM:2"], ["OMIM:2", "OMIM:1"], ["OMIM:3", "OMIM:1"], ["ORPHA:10", "OMIM:3"]]
    bottom = [["OMIM:3"], ["OMIM:3"], ["OMIM:2"], ["OMIM:2"]]
    return TeacherLists(["a", "b", "c", "d"], top, bottom, frozenset({"orpo"}), depth=2)


def test_case_metrics_by_hand(outcomes: dict[str, Outcomes]) -> None:
    values = case_metrics(outcomes["orpo"])
    assert values["top1"].tolist() == [1, 0, 0, 0]
    assert values["top3"].tolist() == [1, 1, 0, 0]
    assert values["mrr"] == pytest.approx([1, 1 / 3, 0, 0])
    miss = -np.log(1e-12)
    assert values["nll"] == pytest.approx([-np.log(0.75), -np.log(0.125), miss, miss])
    assert values["brier"] == pytest.approx([0.0625, 0.25, 0, 1])
    assert values["hallucination_free"].tolist() == [1, 1, 0, 0.5]
    assert values["top1_lenient"].tolist() == [1, 0, 0, 0]


def test_every_case_is_in_every_denominator(
    outcomes: dict[str, Outcomes], cases: EvaluatedCases
) -> None:
    metrics = evaluate(outcomes, cases, bins=10, samples=100, seed=0)
    assert metrics["orpo"]["all"]["top1"]["value"] == 0.25
    assert metrics["teacher"]["all"]["top1"]["value"] == 0.75
    sizes = {v["n"] for system in metrics.values() for v in system["all"].values()}
    assert sizes == {4}
    assert metrics["orpo"]["seen"]["top1"] == {"value": 0.5, "low": 0.0, "high": 1.0, "n": 2}
    assert metrics["orpo"]["unseen"]["top10"]["value"] == 0


def test_ece_of_the_strata(outcomes: dict[str, Outcomes], cases: EvaluatedCases) -> None:
    metrics = evaluate(outcomes, cases, bins=10, samples=100, seed=0)
    assert metrics["orpo"]["all"]["ece"]["value"] == pytest.approx((0.25 + 0.5 + 0 + 1) / 4)
    assert metrics["teacher"]["unseen"]["ece"]["value"] == pytest.approx(0.5)


def test_coverage_and_avoidance_by_hand(
    outcomes: dict[str, Outcomes], cases: EvaluatedCases, teacher: TeacherLists
) -> None:
    values = teacher_metrics(outcomes["orpo"], cases, teacher)
    assert values["coverage"].tolist() == [1, 0.5, 0, 0]
    assert values["avoidance"].tolist() == [1, 0.5, 0, 0.5]


def test_car_follows_the_formula(
    outcomes: dict[str, Outcomes], cases: EvaluatedCases, teacher: TeacherLists
) -> None:
    metrics = evaluate(outcomes, cases, bins=10, samples=100, seed=0, teacher=teacher)
    coverage, avoidance = 0.375, 0.5
    expected = 1.5 * coverage * avoidance / (0.5 * coverage + avoidance)
    assert metrics["orpo"]["all"]["car"]["value"] == pytest.approx(expected)
    assert "car" not in metrics["teacher"]["all"]
    assert coverage_avoidance_rate(np.zeros(1), np.zeros(1)) == 0
    assert coverage_avoidance_rate(np.ones(1), np.ones(1)) == pytest.approx(1)


def test_teacher_lists_may_be_ragged_and_in_any_order(
    outcomes: dict[str, Outcomes], cases: EvaluatedCases
) -> None:
    lists = TeacherLists(
        ["b", "x", "a"], [["OMIM:1"], ["OMIM:2"], []], [[], [], []], frozenset(), depth=2
    )
    assert teacher_metrics(outcomes["orpo"], cases, lists)["coverage"].tolist() == [0, 0.5, 0, 0]


def test_empty_stratum_is_null_and_valid_json(case_table: pa.Table, predictions: pa.Table) -> None:
    seen = case_table.filter(case_table["seen"])
    cases = index_cases(seen, PRIMARY)
    outcomes = collect_outcomes(predictions, cases, 2)
    metrics = evaluate(outcomes, cases, bins=10, samples=100, seed=0)
    assert metrics["orpo"]["unseen"]["ece"] == {"value": None, "low": None, "high": None, "n": 0}
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_generated_answers_have_no_probability_metrics(cases: EvaluatedCases) -> None:
    table = predictions_of([("a", "s", 1, "OMIM:1", "Alpha syndrome", None)])
    outcomes = collect_outcomes(table, cases, 2)
    metrics = evaluate(outcomes, cases, bins=10, samples=100, seed=0)["s"]["all"]
    assert {"nll", "brier", "ece"}.isdisjoint(metrics)
    assert metrics["top1"]["value"] == 0.25


def test_order_of_rows_and_cases_does_not_matter(
    case_table: pa.Table, predictions: pa.Table
) -> None:
    def measure(table: pa.Table, rows: pa.Table) -> object:
        cases = index_cases(table, PRIMARY)
        return evaluate(collect_outcomes(rows, cases, 2), cases, bins=10, samples=100, seed=0)

    backwards = predictions.take(list(range(predictions.num_rows))[::-1])
    assert measure(case_table.take([2, 0, 3, 1]), backwards) == measure(case_table, predictions)


def test_compare_is_paired(outcomes: dict[str, Outcomes], cases: EvaluatedCases) -> None:
    found = compare(outcomes, cases, "teacher", "orpo", samples=200, seed=0, metrics=("top1",))
    assert len(found) == 1
    assert (found[0].first, found[0].second, found[0].metric) == ("teacher", "orpo", "top1")
    assert found[0].interval.value == 0.5
    assert found[0].interval.low >= 0


def test_full_scores_give_the_exact_likelihood() -> None:
    rng = np.random.default_rng(0)
    n, labels = 300, [f"OMIM:{i}" for i in range(40)]
    probability = rng.dirichlet(np.full(40, 0.2), size=n)
    known = rng.integers(0, 40, n)
    table = rank_scores(
        "s", [str(i) for i in range(n)], np.log(probability), labels, labels, known.tolist(), 5
    )
    rows = {
        "case_id": [str(i) for i in range(n)],
        "group_id": [str(i // 3) for i in range(n)],
        "label_id": [labels[i] for i in known],
        "seen": [True] * n,
    }
    cases = index_cases(pa.table(rows), {label: label for label in labels})
    outcomes = collect_outcomes(table, cases, 5)
    metrics = evaluate(outcomes, cases, bins=10, samples=100, seed=0)["s"]["all"]
    chosen = probability[np.arange(n), known]
    assert metrics["nll"]["value"] == pytest.approx(-np.log(np.maximum(chosen, 1e-12)).mean())
    rank = (probability > chosen[:, None]).sum(axis=1) + 1
    assert metrics["mrr"]["value"] == pytest.approx((1 / rank).mean())
    assert metrics["top10"]["value"] == pytest.approx((rank <= 10).mean())


def uneven(size: int) -> tuple[dict[str, Outcomes], EvaluatedCases]:
    """One group of `size` cases that are all right, and three of one case that are all wrong."""
    groups = ["large"] * size + ["x", "y", "z"]
    names = [f"case-{i:03}" for i in range(len(groups))]
    table = pa.table(
        {
            "case_id": names,
            "group_id": groups,
            "label_id": ["OMIM:1"] * len(groups),
            "label_name": ["One"] * len(groups),
            "seen": [True] * len(groups),
        }
    )
    scores = np.log(np.array([[0.8, 0.2]] * size + [[0.3, 0.7]] * 3, dtype=np.float32))
    labels, known = ["OMIM:1", "OMIM:2"], [0] * len(groups)
    ranked = rank_scores("orpo", names, scores, labels, ["One", "Two"], known, 2)
    indexed = index_cases(table, {label: label for label in labels})
    return collect_outcomes(ranked, indexed, 2), indexed


def test_macro_metrics_count_each_group_once() -> None:
    found = evaluate(*uneven(97), bins=10, samples=200, seed=0)["orpo"]["all"]
    assert found["top1"]["value"] == pytest.approx(0.97)
    assert found["top1_macro"]["value"] == pytest.approx(0.25)
    nll = -(np.log(0.8) + 3 * np.log(0.3)) / 4
    assert found["nll_macro"]["value"] == pytest.approx(nll, abs=1e-5)
    assert found["mrr_macro"]["value"] == pytest.approx((1 + 3 / 2) / 4)
    # Confidence 0.8 where all are right, 0.7 where none is: two bins, weighted by groups.
    assert found["ece_macro"]["value"] == pytest.approx(0.2 / 4 + 0.7 * 3 / 4, abs=1e-5)
    assert found["ece"]["value"] == pytest.approx(0.2 * 0.97 + 0.7 * 0.03, abs=1e-5)
    low, high = found["top1_macro"]["low"], found["top1_macro"]["high"]
    assert low is not None
    assert high is not None
    assert 0 <= low < 0.25 < high <= 1


def test_groups_of_one_case_make_macro_and_micro_equal(
    outcomes: dict[str, Outcomes], cases: EvaluatedCases, teacher: TeacherLists
) -> None:
    alone = EvaluatedCases(**{**vars(cases), "groups": np.arange(len(cases))})
    found = evaluate(outcomes, alone, bins=10, samples=50, seed=0, teacher=teacher)
    for system in found.values():
        for named in system.values():
            macro = {name for name in named if name.endswith("_macro")}
            assert {"top1_macro", "top10_macro", "mrr_macro"} <= macro
            for name in macro:
                assert named[name] == named[name.removesuffix("_macro")], name
    assert "car_macro" in found["orpo"]["all"]


def test_a_share_of_nothing_or_everything_is_not_certain() -> None:
    outcomes, cases = uneven(1)
    everything = evaluate(outcomes, cases, bins=10, samples=100, seed=0)["orpo"]["all"]["top3"]
    low = pytest.approx(0.025 ** (1 / 4))
    assert everything == {"value": 1.0, "low": low, "high": 1.0, "n": 4}
    wrong = {"wrong": np.array([False, True, True, True])}
    inside = EvaluatedCases(**{**vars(cases), "strata": wrong})
    nothing = evaluate(outcomes, inside, bins=10, samples=100, seed=0)["orpo"]["wrong"]["top1"]
    high = pytest.approx(1 - 0.025 ** (1 / 3))
    assert nothing == {"value": 0.0, "low": 0.0, "high": high, "n": 3}
