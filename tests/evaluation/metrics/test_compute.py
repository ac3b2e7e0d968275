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
from mint_ray.evaluation.results import is_macro
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
    for by_stratum in metrics.values():
        sizes = {(is_macro(name), value["n"]) for name, value in by_stratum["all"].items()}
        assert sizes == {(False, 4), (True, 3)}
    one_publication = metrics["orpo"]["seen"]["top1"]
    assert (one_publication["value"], one_publication["n"]) == (0.5, 2)
    assert one_publication["low"] < 0.25 < 0.75 < one_publication["high"]
    assert metrics["orpo"]["unseen"]["top10"]["value"] == 0


def test_each_group_counts_once_in_macro_metrics(
    outcomes: dict[str, Outcomes], cases: EvaluatedCases, teacher: TeacherLists
) -> None:
    """The groups are {a, b}, {c} and {d}."""
    found = evaluate(outcomes, cases, bins=10, samples=100, seed=0, teacher=teacher)["orpo"]
    everything = found["all"]
    assert {name for name in everything if is_macro(name)} == {
        f"{name}_macro" for name in everything if not is_macro(name)
    }
    miss = -np.log(1e-12)
    assert everything["top1_macro"]["value"] == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert everything["mrr_macro"]["value"] == pytest.approx(((1 + 1 / 3) / 2 + 0 + 0) / 3)
    nll = (-np.log(0.75) - np.log(0.125)) / 2
    assert everything["nll_macro"]["value"] == pytest.approx((nll + 2 * miss) / 3)
    # Gaps of a, b, c and d, in bins of their own, with weights 1/2, 1/2, 1 and 1.
    ece = (0.5 * 0.25 + 0.5 * 0.5 + 0 + 1) / 3
    assert everything["ece_macro"]["value"] == pytest.approx(ece)
    assert everything["ece_mass_macro"]["value"] == pytest.approx(ece)
    coverage, avoidance = (0.75 + 0 + 0) / 3, (0.75 + 0 + 0.5) / 3
    assert everything["car_macro"]["value"] == pytest.approx(
        1.5 * coverage * avoidance / (0.5 * coverage + avoidance)
    )
    assert found["unseen"]["top1_macro"]["n"] == 2


def test_intervals_of_shares_have_a_width_where_all_cases_agree(
    outcomes: dict[str, Outcomes], cases: EvaluatedCases
) -> None:
    found = evaluate(outcomes, cases, bins=10, samples=100, seed=0)["teacher"]
    assert (found["seen"]["top1"]["value"], found["seen"]["top1"]["high"]) == (1, 1)
    assert found["seen"]["top1"]["low"] == pytest.approx(0.025)  # of one group
    assert found["all"]["hallucination_free_macro"]["low"] == pytest.approx(0.025 ** (1 / 3))


def test_macro_differences_are_paired(outcomes: dict[str, Outcomes], cases: EvaluatedCases) -> None:
    metrics = ("top1_macro", "top1")
    found = compare(outcomes, cases, "teacher", "orpo", samples=100, seed=0, metrics=metrics)
    assert [difference.metric for difference in found] == ["top1_macro", "top1"]
    assert found[0].interval.value == pytest.approx((1 + 1 + 0) / 3 - (1 / 2 + 0 + 0) / 3)
    assert (found[0].interval.n, found[1].interval.n) == (3, 4)


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
