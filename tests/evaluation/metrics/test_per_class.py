from contextlib import nullcontext

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from mint_ray.evaluation.metrics.compute import compare, evaluate
from mint_ray.evaluation.metrics.per_class import (
    balanced_accuracy,
    class_blocks,
    class_gaps,
    classwise_ece,
    group_blocks,
    macro_f1,
)
from mint_ray.evaluation.outcomes import collect_outcomes, index_cases
from mint_ray.evaluation.predictions import rank_scores
from mint_ray.evaluation.results import METRICS
from tests.evaluation.conftest import predictions_of
from tests.evaluation.few_answers import CLASS_METRICS, LABELS, NAMES, case_table, draw


def sums_of(first: list[int], known: list[int], n_labels: int = 4) -> dict[str, np.ndarray]:
    blocks = class_blocks(np.array(first), np.array(known), n_labels)
    return {name: block.sum(axis=0, keepdims=True) for name, block in blocks.items()}


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    known = rng.integers(0, 3, 40)
    first = np.where(rng.random(40) < 0.5, known, rng.integers(0, 4, 40))
    sums = sums_of(first.tolist(), known.tolist())
    with pytest.warns(UserWarning, match="y_pred") if (first == 3).any() else nullcontext():
        expected = balanced_accuracy_score(known, first)
    assert balanced_accuracy(sums)[0] == pytest.approx(expected)
    assert macro_f1(sums)[0] == pytest.approx(f1_score(known, first, average="macro"))


def test_by_hand() -> None:
    sums = sums_of(first=[0, 0, 1, -1, 1], known=[0, 0, 0, 1, -1])
    # Label 0: 2 of 3; label 1: 0 of 1 (no answer); the label that no catalogue has: 0 of 1.
    assert balanced_accuracy(sums)[0] == pytest.approx((2 / 3 + 0 + 0) / 3)
    # F1 of 0: 4 / (4 + 0 + 1); of 1: 0; of the one outside: 0.
    assert macro_f1(sums)[0] == pytest.approx((4 / 5) / 3)


def test_classwise_ece_by_hand() -> None:
    distribution = np.array([[0.85, 0.15], [0.85, 0.15]])
    sums = class_gaps(distribution, np.array([0, 1]), bins=10).sum(axis=0, keepdims=True)
    # Of label 0 the bin at 0.85 is right half the time, of label 1 the bin at 0.15.
    assert classwise_ece(sums, np.array([2.0]), 2)[0] == pytest.approx((0.35 + 0.35) / 2)


def test_perfect_calibration_has_no_classwise_ece() -> None:
    distribution = np.tile([0.75, 0.25], (4, 1))
    sums = class_gaps(distribution, np.array([0, 0, 0, 1]), bins=10).sum(axis=0, keepdims=True)
    assert classwise_ece(sums, np.array([4.0]), 2)[0] == pytest.approx(0)


def test_one_answer_per_group_is_that_of_the_mean_log_probability() -> None:
    # Two lukewarm wrong cases and one that is sure: together they are right.
    distribution = np.array([[0.4, 0.6], [0.4, 0.6], [0.99, 0.01], [0.2, 0.8], [0.0, 0.0]])
    known, groups = np.array([0, 0, 0, 0, 0]), np.array([5, 5, 5, 6, 7])
    blocks = group_blocks(distribution, known, groups)
    assert blocks["group_right"].ravel().tolist() == [1, 0, 0, 0, 0]
    assert blocks["group_units"].ravel().tolist() == [1, 0, 0, 1, 1]


def test_a_group_of_two_answers_counts_for_each() -> None:
    distribution = np.array([[0.9, 0.1], [0.2, 0.8]])
    blocks = group_blocks(distribution, np.array([0, 1]), np.array([0, 0]))
    assert blocks["group_right"].sum() == blocks["group_units"].sum() == 2


def test_all_are_measured_with_intervals_from_the_same_resamples() -> None:
    cases, outcome, probability, known = draw()
    metrics = evaluate({"orpo": outcome}, cases, bins=10, samples=200, seed=3, by_class=True)
    found = metrics["orpo"]["all"]
    assert set(CLASS_METRICS) <= set(found) <= set(METRICS)
    first = probability.argmax(axis=1)
    assert found["balanced_accuracy"]["value"] == pytest.approx(
        balanced_accuracy_score(known, first)
    )
    for name in CLASS_METRICS:
        value = found[name]
        assert value["low"] <= value["value"] <= value["high"]
        assert value["n"] == (40 if name == "top1_by_group" else 120)
    again = evaluate({"orpo": outcome}, cases, bins=10, samples=200, seed=3, by_class=True)
    assert again == metrics
    other = evaluate({"orpo": outcome}, cases, bins=10, samples=200, seed=4, by_class=True)
    assert other["orpo"]["all"]["macro_f1"] != found["macro_f1"]
    assert metrics["orpo"]["unseen"]["macro_f1"]["value"] is None


def test_each_patient_counts_once_in_macro_metrics_of_few_answers() -> None:
    cases, outcome, probability, known = draw(n=60, per_group=3, seed=1)
    rows = np.r_[:30, np.repeat(np.arange(30, 60), 2)]  # ten patients have twice as many cases
    groups = [f"p{row // 3}" for row in rows]
    weights = np.where(rows < 30, 1 / 3, 1 / 6)
    table = case_table(groups, known[rows].tolist())
    ranked = rank_scores(
        "orpo",
        table["case_id"].to_pylist(),
        np.log(probability[rows]),
        LABELS,
        NAMES,
        known[rows].tolist(),
        len(LABELS),
    )
    indexed = index_cases(table, {label: label for label in LABELS})
    outcomes = collect_outcomes(ranked, indexed, 2, whole=True)
    found = evaluate(outcomes, indexed, bins=10, samples=100, seed=0, by_class=True)["orpo"]["all"]
    expected = {
        "balanced_accuracy": balanced_accuracy_score(
            known[rows], probability[rows].argmax(axis=1), sample_weight=weights
        ),
        "macro_f1": f1_score(
            known[rows], probability[rows].argmax(axis=1), average="macro", sample_weight=weights
        ),
    }
    for name, value in expected.items():
        assert found[f"{name}_macro"]["value"] == pytest.approx(value)
        assert found[f"{name}_macro"]["n"] == 20
    # Copies of a patient's cases change nothing where each patient counts once.
    plain = evaluate({"orpo": outcome}, cases, bins=10, samples=100, seed=0, by_class=True)
    for name in ("classwise_ece", "top1", "nll", "ece"):
        assert found[f"{name}_macro"]["value"] == pytest.approx(plain["orpo"]["all"][name]["value"])
    assert "top1_by_group" in found
    assert "top1_by_group_macro" not in found


def test_the_bootstrap_draws_whole_groups() -> None:
    cases, outcome, probability, known = draw(n=60, per_group=3)
    found = evaluate({"orpo": outcome}, cases, bins=10, samples=100, seed=1, by_class=True)
    drawn = np.random.default_rng(1).integers(0, 20, size=(100, 20))
    values = []
    for groups in drawn:
        rows = np.concatenate([np.flatnonzero(cases.groups == group) for group in groups])
        values.append(-np.log(probability[rows, known[rows]]).mean())
    low, high = np.percentile(values, [2.5, 97.5])
    assert found["orpo"]["all"]["nll"]["low"] == pytest.approx(low)
    assert found["orpo"]["all"]["nll"]["high"] == pytest.approx(high)


def test_differences_of_metrics_that_are_no_means() -> None:
    cases, first, _, _ = draw(seed=0)
    second = draw(seed=0, system="base")[1]
    found = compare(
        {"orpo": first, "base": second},
        cases,
        "orpo",
        "base",
        samples=100,
        seed=0,
        metrics=("balanced_accuracy", "top1_by_group", "coverage"),
    )
    assert [item.metric for item in found] == ["balanced_accuracy", "top1_by_group"]
    assert {(item.interval.low, item.interval.high) for item in found} == {(0.0, 0.0)}
    assert [item.interval.n for item in found] == [120, 40]  # cases, and answers of groups


def test_a_distribution_is_known_only_where_all_probability_is() -> None:
    cases = index_cases(case_table(["p", "q"], [0, 1]), {label: label for label in LABELS})
    rows = [("c0000", "s", 1, LABELS[0], "A", 0.6), ("c0000", "s", 2, LABELS[1], "B", 0.4)]
    outcome = collect_outcomes(predictions_of(rows), cases, 1, whole=True)["s"]
    assert outcome.distribution is not None
    assert outcome.distribution.tolist() == [[0.6, 0.4, 0, 0], [0, 0, 0, 0]]
    assert outcome.listed.sum() == 1
    cut = collect_outcomes(predictions_of(rows[:1]), cases, 1, whole=True)["s"]
    assert cut.distribution is None
    metrics = evaluate({"s": cut}, cases, bins=10, samples=100, seed=0, by_class=True)["s"]["all"]
    assert "macro_f1" in metrics
    assert "classwise_ece" not in metrics
    assert collect_outcomes(predictions_of(rows), cases, 1)["s"].distribution is None
