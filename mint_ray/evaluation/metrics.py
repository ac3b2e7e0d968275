"""Metrics of every system in every stratum, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mint_ray.evaluation.calibration import ece_of_sums, gap_columns
from mint_ray.evaluation.intervals import (
    Interval,
    paired_difference,
    percentile_interval,
    resample_sums,
)
from mint_ray.evaluation.outcomes import Codes, EvaluatedCases, Outcomes
from mint_ray.evaluation.results import Metrics, MetricValue

Floats = NDArray[np.float64]

PROBABILITY_FLOOR = 1e-12
CAR_LAMBDA = 0.5


@dataclass(frozen=True)
class TeacherLists:
    """The teacher's best and worst labels per case, as label ids."""

    case_ids: Sequence[str]
    top: NDArray[np.object_] | Sequence[Sequence[str]]
    """(n, k) best first."""
    bottom: NDArray[np.object_] | Sequence[Sequence[str]]
    """(n, q)."""
    systems: frozenset[str]
    """The systems that learned from this teacher; only they get coverage, avoidance and CAR."""


@dataclass(frozen=True)
class Difference:
    """How much `first` exceeds `second` in one metric, on the same cases."""

    first: str
    second: str
    metric: str
    interval: Interval


def case_metrics(outcome: Outcomes) -> dict[str, Floats]:
    """Metrics that are means over cases: (n,) each. Definitions: `results.METRICS`."""
    named = outcome.listed.sum(axis=1)
    grounded = (outcome.listed & (outcome.codes >= 0)).sum(axis=1)
    values: dict[str, NDArray[Any]] = {
        "top1": outcome.rank <= 1,
        "top3": outcome.rank <= 3,
        "top10": outcome.rank <= 10,
        "mrr": 1.0 / outcome.rank,
        "hallucination_free": grounded / np.maximum(named, 1),
        "top1_lenient": np.any(outcome.lenient[:, :1], axis=1),
        "top10_lenient": np.any(outcome.lenient[:, :10], axis=1),
    }
    if outcome.has_probabilities:
        values["nll"] = -np.log(np.maximum(outcome.probability, PROBABILITY_FLOOR))
        values["brier"] = (outcome.confidence - outcome.correct) ** 2
    return {name: column.astype(np.float64) for name, column in values.items()}


def teacher_metrics(
    outcome: Outcomes, cases: EvaluatedCases, teacher: TeacherLists
) -> dict[str, Floats]:
    """Coverage and avoidance per case, (n,) each; 0 for a case with an empty list.

    Source: MINT, arXiv 2505.05736.
    """
    named = outcome.listed.sum(axis=1)
    in_top = _share_in(outcome, _code_lists(teacher.case_ids, teacher.top, cases))
    in_bottom = _share_in(outcome, _code_lists(teacher.case_ids, teacher.bottom, cases))
    return {"coverage": in_top, "avoidance": np.where(named > 0, 1.0 - in_bottom, 0.0)}


def _code_lists(
    case_ids: Sequence[str],
    labels: NDArray[np.object_] | Sequence[Sequence[str]],
    cases: EvaluatedCases,
) -> Codes:
    """(n, width) codes in the order of the evaluated cases; -3 equals no listed code."""
    width = max((len(row) for row in labels), default=0)
    codes = np.full((len(cases), width), -3, dtype=np.int64)
    place = {case_id: position for position, case_id in enumerate(cases.case_ids)}
    for case_id, row in zip(case_ids, labels, strict=True):
        if case_id in place:
            codes[place[case_id], : len(row)] = [cases.codes.get(label, -3) for label in row]
    return codes


def _share_in(outcome: Outcomes, lists: Codes) -> Floats:
    inside = (outcome.codes[:, :, None] == lists[:, None, :]).any(axis=2) & outcome.listed
    share: Floats = inside.sum(axis=1) / np.maximum(outcome.listed.sum(axis=1), 1)
    return share


def coverage_avoidance_rate(coverage: Floats, avoidance: Floats) -> Floats:
    """CAR = (1 + λ)·C·A / (λ·C + A), λ = 0.5; 0 where both are 0 (MINT, arXiv 2505.05736)."""
    below = CAR_LAMBDA * coverage + avoidance
    above = (1 + CAR_LAMBDA) * coverage * avoidance
    rate: Floats = np.where(below > 0, above / np.where(below > 0, below, 1.0), 0.0)
    return rate


def evaluate(
    outcomes: Mapping[str, Outcomes],
    cases: EvaluatedCases,
    *,
    bins: int,
    samples: int,
    seed: int,
    teacher: TeacherLists | None = None,
) -> Metrics:
    """Every metric of every system and stratum.

    Args:
        outcomes: by system, from `collect_outcomes` on the same cases.
        bins: equal-width confidence bins of the ECE.
        samples: bootstrap resamples of groups.
        teacher: gives the systems it names their coverage, avoidance and CAR.
    """
    metrics: Metrics = {}
    for system, outcome in outcomes.items():
        columns = case_metrics(outcome)
        if teacher is not None and system in teacher.systems:
            columns |= teacher_metrics(outcome, cases, teacher)
        gaps = gap_columns(outcome, bins)
        metrics[system] = {
            stratum: _evaluate_stratum(
                {name: column[inside] for name, column in columns.items()},
                gaps[inside] if outcome.has_probabilities else None,
                cases.groups[inside],
                samples,
                seed,
            )
            for stratum, inside in cases.strata.items()
        }
    return metrics


def _evaluate_stratum(
    columns: dict[str, Floats],
    gaps: Floats | None,
    groups: Codes,
    samples: int,
    seed: int,
) -> dict[str, MetricValue]:
    """One resampling serves all metrics of the stratum."""
    n = len(groups)
    names = list(columns)
    derived = (["ece"] if gaps is not None else []) + (["car"] if "coverage" in columns else [])
    if n == 0:
        return {name: MetricValue(value=None, low=None, high=None, n=0) for name in names + derived}
    stacked = np.column_stack([*columns.values(), *([] if gaps is None else [gaps])])
    resampled, counts = resample_sums(stacked, groups, samples, seed)
    # The first row is the sample itself, the others are its resamples.
    sums = np.vstack([stacked.sum(axis=0), resampled])
    sizes = np.concatenate([[n], counts])
    statistics = {name: sums[:, place] / sizes for place, name in enumerate(names)}
    if gaps is not None:
        statistics["ece"] = ece_of_sums(sums[:, len(names) :], sizes)
    if "coverage" in columns:
        statistics["car"] = coverage_avoidance_rate(statistics["coverage"], statistics["avoidance"])
    return {name: _metric_value(values, n) for name, values in statistics.items()}


def _metric_value(statistic: Floats, n: int) -> MetricValue:
    interval = percentile_interval(float(statistic[0]), statistic[1:], n)
    return MetricValue(value=interval.value, low=interval.low, high=interval.high, n=n)


def compare(
    outcomes: Mapping[str, Outcomes],
    cases: EvaluatedCases,
    first: str,
    second: str,
    *,
    samples: int,
    seed: int,
    metrics: Sequence[str] = ("top1", "top3", "top10", "mrr"),
) -> list[Difference]:
    """Paired differences first − second of metrics that are means over cases."""
    a, b = case_metrics(outcomes[first]), case_metrics(outcomes[second])
    return [
        Difference(
            first,
            second,
            metric,
            paired_difference(a[metric], b[metric], cases.groups, samples, seed),
        )
        for metric in metrics
    ]
