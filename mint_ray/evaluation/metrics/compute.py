"""Metrics of all systems in all strata, and differences between systems, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mint_ray.common.arrays import Bools, Floats
from mint_ray.evaluation.metrics.bootstrap import Interval, macro_weights, percentile_interval
from mint_ray.evaluation.metrics.columns import (
    Columns,
    confidence_blocks,
    measure_columns,
    resampled_metrics,
)
from mint_ray.evaluation.metrics.per_class import class_blocks, class_gaps, group_blocks
from mint_ray.evaluation.metrics.teacher_agreement import TeacherLists, teacher_metrics
from mint_ray.evaluation.outcomes import PROBABILITY_FLOOR, EvaluatedCases, Outcomes
from mint_ray.evaluation.results import MACRO, Metrics, is_macro

_OVER_CASES = ("top1", "top3", "top10", "mrr")
COMPARED = (*(f"{name}{MACRO}" for name in _OVER_CASES), *_OVER_CASES)
CLASS_COMPARED = ("top1", "top3", "balanced_accuracy", "top1_by_group")
"""Metrics whose differences between systems are reported; `CLASS_COMPARED` for few answers."""

_CLASS_METRICS = ("balanced_accuracy", "macro_f1", "top1_by_group")


@dataclass(frozen=True)
class Difference:
    """Difference `first` − `second` of two systems in one metric, on the same cases."""

    first: str
    second: str
    metric: str
    interval: Interval


def case_metrics(outcome: Outcomes) -> dict[str, Floats]:
    """Return the metrics that are means over cases, (n,) each; see `results.METRICS`."""
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


def evaluate(
    outcomes: Mapping[str, Outcomes],
    cases: EvaluatedCases,
    *,
    bins: int,
    samples: int,
    seed: int,
    teacher: TeacherLists | None = None,
    by_class: bool = False,
) -> Metrics:
    """Compute all metrics of all systems and strata, over cases and over groups.

    A metric over groups has the end `_macro`; see `results.MACRO_MEANING`.

    Args:
        outcomes: by system, from `collect_outcomes` on the same cases.
        cases: the evaluated cases.
        bins: number of confidence bins of the ECE.
        samples: number of bootstrap resamples of groups.
        seed: of the resamples.
        teacher: best and worst labels, for coverage, avoidance and CAR of `teacher.systems`.
        by_class: answers are few, so measure each by itself as well.
    """
    metrics: Metrics = {}
    for system, outcome in outcomes.items():
        means = case_metrics(outcome)
        if by_class:
            means["top5"] = (outcome.rank <= 5).astype(np.float64)
        if teacher is not None and system in teacher.systems:
            means |= teacher_metrics(outcome, cases, teacher)
        metrics[system] = {}
        for stratum, inside in cases.strata.items():
            over_cases, over_groups = (
                measure_columns(
                    _columns_of(outcome, cases, inside, means, bins, by_class, macro), samples, seed
                )
                for macro in (False, True)
            )
            metrics[system][stratum] = over_cases | over_groups
    return metrics


def _columns_of(
    outcome: Outcomes,
    cases: EvaluatedCases,
    inside: Bools,
    means: Mapping[str, Floats],
    bins: int,
    by_class: bool,
    macro: bool,
) -> Columns:
    """Gather the columns of the cases inside a stratum; `means` has (n,) columns of all cases."""
    groups = cases.groups[inside]
    weights = macro_weights(groups) if macro else None
    blocks: dict[str, Floats] = {}
    if outcome.has_probabilities:
        confidence, correct = outcome.confidence[inside], outcome.correct[inside]
        blocks |= confidence_blocks(confidence, correct, bins, groups, weights)
    if by_class:
        blocks |= _class_blocks(outcome, cases, inside, bins, macro)
    return Columns({name: means[name][inside] for name in means}, blocks, groups, weights)


def _class_blocks(
    outcome: Outcomes, cases: EvaluatedCases, inside: Bools, bins: int, macro: bool
) -> dict[str, Floats]:
    known = cases.known[inside]
    blocks = class_blocks(outcome.first[inside], known, cases.n_labels)
    if outcome.distribution is not None:
        distribution = outcome.distribution[inside]
        blocks["class_gaps"] = class_gaps(distribution, known, bins)
        if not macro:
            blocks |= group_blocks(distribution, known, cases.groups[inside])
    return blocks


def compare(
    outcomes: Mapping[str, Outcomes],
    cases: EvaluatedCases,
    first: str,
    second: str,
    *,
    samples: int,
    seed: int,
    metrics: Sequence[str] = COMPARED,
    stratum: str = "all",
) -> list[Difference]:
    """Compute paired differences `first` − `second` on the same cases and the same resamples.

    Args:
        outcomes: by system, from `collect_outcomes` on the same cases.
        cases: the evaluated cases.
        first, second: names of the systems.
        samples: number of bootstrap resamples of groups.
        seed: of the resamples.
        metrics: of `case_metrics`, or `balanced_accuracy`, `macro_f1`, `top1_by_group`; with the
            end `_macro`, over groups. A metric that one of the systems lacks is left out.
        stratum: of `cases.strata`, which must have a case.
    """
    found = contrast(
        {first: outcomes[first], second: outcomes[second]},
        cases,
        {first: 1.0, second: -1.0},
        samples=samples,
        seed=seed,
        metrics=metrics,
        stratum=stratum,
    )
    return [Difference(first, second, metric, interval) for metric, interval in found.items()]


def contrast(
    outcomes: Mapping[str, Outcomes],
    cases: EvaluatedCases,
    weights: Mapping[str, float],
    *,
    samples: int,
    seed: int,
    metrics: Sequence[str] = COMPARED,
    stratum: str = "all",
) -> dict[str, Interval]:
    """Compute the weighted sum of systems on the same cases and the same resamples, by metric.

    Args:
        weights: of each system, of which there is at least one; see `compare` for the other
            arguments. A metric that one of the systems lacks is left out.
    """
    inside = cases.strata[stratum]
    values = {
        system: _compared_statistics(outcomes[system], cases, inside, metrics, samples, seed)
        for system in weights
    }
    found = {}
    for metric in metrics:
        if all(metric in of_system for of_system in values.values()):
            parts = [weight * values[system][metric] for system, weight in weights.items()]
            total = np.sum(parts, axis=0)
            n = _count(metric, cases, inside)
            found[metric] = percentile_interval(float(total[0]), total[1:], n)
    return found


def _count(metric: str, cases: EvaluatedCases, inside: Bools) -> int:
    """Return how many cases, groups, or answers of a group a metric is a mean over."""
    if metric == "top1_by_group":
        return len(set(zip(cases.groups[inside], cases.known[inside], strict=True)))
    return len(np.unique(cases.groups[inside])) if is_macro(metric) else int(inside.sum())


def _compared_statistics(
    outcome: Outcomes,
    cases: EvaluatedCases,
    inside: Bools,
    metrics: Sequence[str],
    samples: int,
    seed: int,
) -> dict[str, Floats]:
    """Return (1 + B,) values of the metrics over cases, over groups, or both, as is asked for."""
    means = case_metrics(outcome)
    by_class = any(metric.removesuffix(MACRO) in _CLASS_METRICS for metric in metrics)
    values: dict[str, Floats] = {}
    for macro in sorted({is_macro(metric) for metric in metrics}):
        columns = _columns_of(outcome, cases, inside, means, 1, by_class, macro)
        values |= resampled_metrics(columns, samples, seed)
    return values
