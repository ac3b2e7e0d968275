"""Metrics and intervals are those that independent packages compute from the same answers."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    label_ranking_average_precision_score,
    log_loss,
    top_k_accuracy_score,
)

from mint_ray.common.arrays import Floats, Ints
from mint_ray.evaluation.calibration.conformal import group_weights, p_value, threshold
from mint_ray.evaluation.metrics.bootstrap import mean_interval
from mint_ray.evaluation.metrics.compute import evaluate
from mint_ray.evaluation.metrics.shares import mean_share_interval
from mint_ray.evaluation.outcomes import collect_outcomes, index_cases
from mint_ray.evaluation.predictions import PREDICTION_SCHEMA
from mint_ray.evaluation.results import MetricValue

N, LABELS, BINS = 400, 12, 10
RNG = np.random.default_rng(7)
KNOWN: Ints = RNG.integers(0, LABELS, N)
LOGITS: Floats = RNG.normal(size=(N, LABELS)) * RNG.uniform(0.5, 4, (N, 1))
LOGITS[np.arange(N), KNOWN] += 1.5
PROBABILITIES: Floats = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
CONFIDENCE: Floats = PROBABILITIES.max(axis=1)
CORRECT = PROBABILITIES.argmax(axis=1) == KNOWN
GROUPS: Ints = RNG.integers(0, 150, N)
SIZES: Floats = 1.0 / np.bincount(GROUPS)[GROUPS]
IDS = [f"OMIM:{label}" for label in range(LABELS)]


@pytest.fixture(scope="module")
def measured() -> dict[str, MetricValue]:
    """Metrics of rankings of all labels, by the whole path from a table of predictions."""
    cases = {
        "case_id": [f"case-{case:03d}" for case in range(N)],
        "group_id": [f"group-{group}" for group in GROUPS],
        "label_id": [IDS[label] for label in KNOWN],
        "seen": [True] * N,
    }
    rows = [
        {
            "case_id": f"case-{case:03d}",
            "system": "student",
            "rank": rank,
            "label_id": IDS[label],
            "text": IDS[label],
            "probability": PROBABILITIES[case, label],
        }
        for case in range(N)
        for rank, label in enumerate(np.argsort(-PROBABILITIES[case]), 1)
    ]
    indexed = index_cases(pa.table(cases), {label: label for label in IDS})
    predictions = pa.Table.from_pylist(rows, PREDICTION_SCHEMA)
    outcomes = collect_outcomes(predictions, indexed, 10, whole=True)
    metrics = evaluate(outcomes, indexed, bins=BINS, samples=100, seed=0, by_class=True)
    return metrics["student"]["all"]


@pytest.mark.parametrize(("end", "weights"), [("", None), ("_macro", SIZES)])
def test_means_over_cases_and_over_groups_are_scikit_learn_s(
    measured: dict[str, MetricValue], end: str, weights: Floats | None
) -> None:
    """A mean over groups is one over cases that share the weight of their group."""
    labels, relevant = np.arange(LABELS), np.eye(LABELS, dtype=np.int64)[KNOWN]
    weighted = {"sample_weight": weights}
    expected = {
        "top1": accuracy_score(KNOWN, PROBABILITIES.argmax(axis=1), **weighted),
        "top3": top_k_accuracy_score(KNOWN, PROBABILITIES, k=3, labels=labels, **weighted),
        "top10": top_k_accuracy_score(KNOWN, PROBABILITIES, k=10, labels=labels, **weighted),
        # Of one relevant label, the average precision is the reciprocal of its rank.
        "mrr": label_ranking_average_precision_score(relevant, PROBABILITIES, **weighted),
        "nll": log_loss(KNOWN, PROBABILITIES, labels=labels, **weighted),
        "brier": brier_score_loss(CORRECT, CONFIDENCE, **weighted),
    }
    found = {name: measured[f"{name}{end}"]["value"] for name in expected}
    assert found == pytest.approx(expected, rel=1e-9)


def test_ranks_are_those_of_ir_measures(measured: dict[str, MetricValue]) -> None:
    measures = pytest.importorskip("ir_measures")
    judged = {str(case): {IDS[label]: 1} for case, label in enumerate(KNOWN)}
    ranked = {
        str(case): dict(zip(IDS, scores.tolist(), strict=True))
        for case, scores in enumerate(PROBABILITIES)
    }
    names = {"mrr": measures.RR, "top1": measures.Success @ 1, "top3": measures.Success @ 3}
    theirs = measures.calc_aggregate(list(names.values()), judged, ranked)
    for name, measure in names.items():
        assert measured[name]["value"] == pytest.approx(theirs[measure], rel=1e-6), name


def test_calibration_errors_are_those_of_torchmetrics(measured: dict[str, MetricValue]) -> None:
    classification = pytest.importorskip("torchmetrics.classification")
    torch = pytest.importorskip("torch")
    probabilities, known = torch.tensor(PROBABILITIES), torch.tensor(KNOWN)
    error = classification.MulticlassCalibrationError(LABELS, n_bins=BINS, norm="l1")
    theirs = float(error(probabilities, known))
    assert measured["ece"]["value"] == pytest.approx(theirs, rel=1e-4)
    of_class = classification.BinaryCalibrationError(n_bins=BINS, norm="l1")
    each = [float(of_class(probabilities[:, label], known == label)) for label in range(LABELS)]
    assert measured["classwise_ece"]["value"] == pytest.approx(np.mean(each), rel=1e-4)


def test_intervals_of_means_are_scipy_s_where_each_case_is_a_group() -> None:
    values = RNG.gamma(2.0, size=300)
    found = mean_interval(values, np.arange(300), 4000, seed=1)
    theirs: Any = bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert found.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.05 * width)


@pytest.mark.parametrize("n", [12, 60])
def test_intervals_of_no_and_of_all_are_those_of_statsmodels(n: int) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    for count in (0, n):
        values = np.full(n, count / n)
        found = mean_share_interval(values, np.arange(n), 100, seed=0)
        theirs = proportion.proportion_confint(count, n, method="beta")
        assert (found.low, found.high) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_conformal_sets_are_those_of_crepes_where_each_case_is_a_group(coverage: float) -> None:
    crepes = pytest.importorskip("crepes")
    misfit = 1.0 - PROBABILITIES
    known, new = misfit[np.arange(N), KNOWN][:300], misfit[300:]
    weights = group_weights(np.arange(300))
    theirs = crepes.ConformalClassifier()
    theirs.fit(known, seed=0)
    sets = theirs.predict_set(new, confidence=coverage, smoothing=False)
    assert np.array_equal(new <= threshold(known, weights, coverage), np.asarray(sets, dtype=bool))
    p_values = theirs.predict_p(new, smoothing=False)
    found = [[p_value(known, weights, value) for value in row] for row in new]
    assert np.asarray(found) == pytest.approx(np.asarray(p_values), abs=1e-9)
