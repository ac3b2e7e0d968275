"""Metrics of all systems in all strata, and differences between systems, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mint_ray.common.arrays import Bools, Floats, Ints
from mint_ray.evaluation.metrics.bootstrap import (
    Interval,
    open_bounds,
    percentile_interval,
    resample_blocks,
)
from mint_ray.evaluation.metrics.ece import ece_of_sums, gap_columns, mass_gap_columns
from mint_ray.evaluation.metrics.per_class import (
    class_blocks,
    class_gaps,
    class_statistics,
    group_blocks,
)
from mint_ray.evaluation.metrics.teacher_agreement import (
    TeacherLists,
    coverage_avoidance_rate,
    teacher_metrics,
)
from mint_ray.evaluation.outcomes import PROBABILITY_FLOOR, EvaluatedCases, Outcomes
from mint_ray.evaluation.results import MACRO, METRICS, Metrics, MetricValue

COMPARED = ("top1_macro", "top3_macro", "top10_macro", "mrr_macro", "top1", "top3", "top10", "mrr")
CLASS_COMPARED = ("top1", "top3", "balanced_accuracy", "top1_by_group")
"""Metrics whose differences between systems are reported; `CLASS_COMPARED` for few answers."""


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
    """Compute all metrics of all systems and strata.

    Every metric but those by class is also computed as a mean over groups: `top1_macro`.

    Args:
        outcomes: by system, from `collect_outcomes` on the same cases.
        cases: the evaluated cases.
        bins: number of equal-width confidence bins of the ECE.
        samples: number of bootstrap resamples of groups.
        seed: of the resamples.
        teacher: best and worst labels, for coverage, avoidance and CAR of `teacher.systems`.
        by_class: answers are few, so measure each by itself as well.
    """
    metrics: Metrics = {}
    for system, outcome in outcomes.items():
        columns = case_metrics(outcome)
        if by_class:
            columns["top5"] = (outcome.rank <= 5).astype(np.float64)
        if teacher is not None and system in teacher.systems:
            columns |= teacher_metrics(outcome, cases, teacher)
        gaps = gap_columns(outcome, bins) if outcome.has_probabilities else None
        metrics[system] = {}
        for stratum, inside in cases.strata.items():
            blocks = {name: column[inside, None] for name, column in columns.items()}
            if gaps is not None:
                blocks["gaps"] = gaps[inside]
                blocks["mass_gaps"] = mass_gap_columns(
                    outcome.confidence[inside], outcome.correct[inside], bins
                )
            blocks |= _macro_blocks(blocks, cases.groups[inside])
            if by_class:
                blocks |= _class_blocks(outcome, cases, inside, bins)
            metrics[system][stratum] = _evaluate_stratum(
                blocks, list(columns), cases.groups[inside], samples, seed
            )
    return metrics


def _macro_blocks(blocks: Mapping[str, Floats], groups: Ints) -> dict[str, Floats]:
    """Return the blocks with each case weighted by 1 / cases of its group, and the weights.

    A sum over the weights of whole groups is the number of groups, so that sums of the weighted
    columns over it are means over groups.
    """
    _, member, counts = np.unique(groups, return_inverse=True, return_counts=True)
    weights = 1.0 / counts[member][:, None]
    weighted = {f"{name}{MACRO}": block * weights for name, block in blocks.items()}
    return weighted | {"group_weights": weights}


def _class_blocks(
    outcome: Outcomes, cases: EvaluatedCases, inside: Bools, bins: int
) -> dict[str, Floats]:
    known = cases.known[inside]
    blocks = class_blocks(outcome.first[inside], known, cases.n_labels)
    if outcome.distribution is not None:
        distribution = outcome.distribution[inside]
        blocks["class_gaps"] = class_gaps(distribution, known, bins)
        blocks |= group_blocks(distribution, known, cases.groups[inside])
    return blocks


def _evaluate_stratum(
    blocks: dict[str, Floats],
    means: list[str],
    groups: Ints,
    samples: int,
    seed: int,
) -> dict[str, MetricValue]:
    """Compute the metrics of one stratum, all from the same resamples.

    Args:
        blocks: (n, m) columns by name.
        means: names of the blocks whose mean is a metric.
        groups: (n,) group of each case.
        samples: number of resamples.
        seed: of the resamples.
    """
    n = len(groups)
    if n == 0:
        empty = {name: np.zeros((1, block.shape[1])) for name, block in blocks.items()}
        one = np.ones((1, 1))
        named = _statistics(empty | {"cases": one, "group_weights": one}, means)
        return {name: MetricValue(value=None, low=None, high=None, n=0) for name in named}
    sums = resample_blocks(blocks, groups, samples, seed)
    sizes = {"top1_by_group": int(sums["group_units"][0, 0])} if "group_units" in sums else {}
    n_groups = len(np.unique(groups))
    return {
        name: _metric_value(name, values, sizes.get(name, n), n_groups)
        for name, values in _statistics(sums, means).items()
    }


def _statistics(sums: Mapping[str, Floats], means: Sequence[str]) -> dict[str, Floats]:
    """Return (1 + B,) values of every metric: of the sample itself, then of its resamples."""
    values: dict[str, Floats] = {}
    for end, size in (("", sums["cases"][:, 0]), (MACRO, sums["group_weights"][:, 0])):
        values |= {name + end: sums[name + end][:, 0] / size for name in means}
        for name, gaps in (("ece", "gaps"), ("ece_mass", "mass_gaps")):
            if gaps + end in sums:
                values[name + end] = ece_of_sums(sums[gaps + end], size)
        if "coverage" in means:
            agreement = values["coverage" + end], values["avoidance" + end]
            values["car" + end] = coverage_avoidance_rate(*agreement)
    return values | class_statistics(sums) if "known" in sums else values


def _metric_value(name: str, statistic: Floats, n: int, n_groups: int) -> MetricValue:
    interval = percentile_interval(float(statistic[0]), statistic[1:], n)
    definition = METRICS.get(name)
    if definition is not None and (definition.is_share or name.removesuffix(MACRO) == "mrr"):
        interval = open_bounds(interval, n_groups)
    return MetricValue(value=interval.value, low=interval.low, high=interval.high, n=n)


def compare(
    outcomes: Mapping[str, Outcomes],
    cases: EvaluatedCases,
    first: str,
    second: str,
    *,
    samples: int,
    seed: int,
    metrics: Sequence[str] = COMPARED,
) -> list[Difference]:
    """Compute paired differences `first` − `second` on the same cases and the same resamples.

    Args:
        outcomes: by system, from `collect_outcomes` on the same cases.
        cases: the evaluated cases.
        first, second: names of the systems.
        samples: number of bootstrap resamples of groups.
        seed: of the resamples.
        metrics: of `case_metrics`, also macro, or `balanced_accuracy`, `macro_f1`, `top1_by_group`.
            A metric that one of the systems lacks is left out.
    """
    all_cases = np.ones(len(cases), dtype=np.bool_)
    values = []
    for system in (first, second):
        columns = case_metrics(outcomes[system])
        blocks = {name: column[:, None] for name, column in columns.items()}
        blocks |= _macro_blocks(blocks, cases.groups)
        if _by_class(metrics):
            blocks |= _class_blocks(outcomes[system], cases, all_cases, 1)
        sums = resample_blocks(blocks, cases.groups, samples, seed)
        values.append(_statistics(sums, list(columns)))
    differences = []
    for metric in metrics:
        if metric in values[0] and metric in values[1]:
            gap = values[0][metric] - values[1][metric]
            interval = percentile_interval(float(gap[0]), gap[1:], len(cases))
            differences.append(Difference(first, second, metric, interval))
    return differences


def _by_class(metrics: Sequence[str]) -> bool:
    return bool({"balanced_accuracy", "macro_f1", "top1_by_group"} & set(metrics))
