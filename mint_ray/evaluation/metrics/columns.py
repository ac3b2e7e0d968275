"""Metrics of some cases as functions of sums over them, with intervals from one resampling."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from mint_ray.common.arrays import Bools, Floats, Ints
from mint_ray.evaluation.metrics.auroc import auroc, auroc_blocks
from mint_ray.evaluation.metrics.bootstrap import resample_blocks
from mint_ray.evaluation.metrics.ece import (
    PAIR_BLOCKS,
    assign_bins,
    debiased_ece,
    ece_of_sums,
    equal_mass_bins,
    gap_columns,
    pair_blocks,
)
from mint_ray.evaluation.metrics.per_class import class_statistics
from mint_ray.evaluation.metrics.shares import UNBOUNDED, Evidence, evidence_of, metric_value
from mint_ray.evaluation.metrics.teacher_agreement import coverage_avoidance_rate
from mint_ray.evaluation.results import MACRO, MetricValue

_MASS = "mass_"
"""Beginning of the names of blocks in bins of equal mass."""


@dataclass(frozen=True)
class Columns:
    """Columns of n cases whose sums give every metric."""

    means: Mapping[str, Floats]
    """(n,) of each metric that is a mean over cases."""
    blocks: Mapping[str, Floats]
    """(n, m) by name for the other metrics: those of `confidence_blocks` and of `per_class`."""
    groups: Ints
    """(n,) group of each case."""
    weights: Floats | None = None
    """(n,) from `macro_weights` where each group counts once; None where each case does."""

    @property
    def suffix(self) -> str:
        """End of the names of the metrics."""
        return "" if self.weights is None else MACRO

    def sums(self, samples: int, seed: int) -> dict[str, Floats]:
        """Return the sums of all columns over the cases and their resamples.

        Arguments are those of `resample_blocks`.
        """
        blocks = {name: column[:, None] for name, column in self.means.items()}
        blocks |= self.blocks
        return resample_blocks(blocks, self.groups, samples, seed, self.weights)


def confidence_blocks(
    confidence: Floats, correct: Bools, bins: int, groups: Ints, weights: Floats | None = None
) -> dict[str, Floats]:
    """Return the blocks of `ece` and `ece_mass`, plain and debiased, and of `auroc`.

    Args:
        confidence: (n,) probability of the first answers.
        correct: (n,) whether they are right.
        bins: number of bins.
        groups: (n,) group of each case.
        weights: of the cases, which decide on bins of equal mass; equal within a group.
    """
    blocks = auroc_blocks(confidence, correct, weights)
    for prefix, bin_of_case in (
        ("", assign_bins(confidence, bins)),
        (_MASS, equal_mass_bins(confidence, bins, weights)),
    ):
        gaps = gap_columns(confidence, correct, bin_of_case, bins)
        pairs = pair_blocks(gaps, bin_of_case, groups, weights)
        blocks |= {f"{prefix}{name}": block for name, block in {"gaps": gaps, **pairs}.items()}
    return blocks


def measure_columns(columns: Columns, samples: int, seed: int) -> dict[str, MetricValue]:
    """Compute every metric of the columns with its interval; null values without a case.

    Args:
        columns: of the cases.
        samples: number of bootstrap resamples of whole groups.
        seed: of the resamples.
    """
    if not len(columns.groups):
        nothing = MetricValue(value=None, low=None, high=None, n=0)
        return dict.fromkeys(_names(columns), nothing)
    sums = columns.sums(samples, seed)
    evidence = _evidence(columns)
    n = round(float(sums["cases"][0, 0]))  # cases, or groups where each counts once
    sizes = {"top1_by_group": int(sums["group_units"][0, 0])} if "group_units" in sums else {}
    return {
        f"{name}{columns.suffix}": metric_value(values, sizes.get(name, n), evidence.get(name))
        for name, values in _statistics(sums, columns.means).items()
    }


def resampled_metrics(columns: Columns, samples: int, seed: int) -> dict[str, Floats]:
    """Return every metric as (1 + B,) values: of the cases themselves, then of their resamples.

    Arguments are those of `measure_columns`; there has to be a case.
    """
    values = _statistics(columns.sums(samples, seed), columns.means)
    return {f"{name}{columns.suffix}": value for name, value in values.items()}


def _names(columns: Columns) -> list[str]:
    zeros = {name: np.zeros((1, 1)) for name in columns.means}
    zeros |= {name: np.zeros((1, block.shape[1])) for name, block in columns.blocks.items()}
    zeros["cases"] = np.ones((1, 1))
    return [f"{name}{columns.suffix}" for name in _statistics(zeros, columns.means)]


def _statistics(sums: Mapping[str, Floats], means: Iterable[str]) -> dict[str, Floats]:
    size = sums["cases"][:, 0]
    values = {name: sums[name][:, 0] / size for name in means}
    if "gaps" in sums:
        for name, prefix in (("ece", ""), ("ece_mass", _MASS)):
            gaps = sums[f"{prefix}gaps"]
            pairs = {block: sums[f"{prefix}{block}"] for block in PAIR_BLOCKS}
            values[name] = ece_of_sums(gaps, size)
            values[f"{name}_debiased"] = debiased_ece(gaps, pairs)
    if "order" in sums:
        values["auroc"] = auroc(sums)
    if "avoidance" in values:
        values["car"] = coverage_avoidance_rate(values["coverage"], values["avoidance"])
    return values | class_statistics(sums) if "known" in sums else values


def _evidence(columns: Columns) -> dict[str, Evidence]:
    """Return the groups behind each metric that is a share, or is 0 and 1 where shares are."""
    means, blocks, weights = columns.means, columns.blocks, columns.weights
    evidence = {
        name: evidence_of(column, columns.groups, weights)
        for name, column in means.items()
        if name not in UNBOUNDED
    }
    if "avoidance" in means:  # CAR is 0 or 1 where the product is
        both = means["coverage"] * means["avoidance"]
        evidence["car"] = evidence_of(both, columns.groups, weights)
    if "known" in blocks:
        ones = np.ones(len(columns.groups)) if weights is None else weights
        class_sizes = (blocks["known"] * ones[:, None]).sum(axis=0)
        by_class = ones / (blocks["known"] @ class_sizes)  # every answer has the same weight
        right = blocks["right"].sum(axis=1)
        evidence["balanced_accuracy"] = evidence_of(right, columns.groups, by_class)
        evidence["macro_f1"] = evidence["balanced_accuracy"]
    if "group_units" in blocks:
        first = blocks["group_units"][:, 0] > 0
        right = blocks["group_right"][first, 0]
        evidence["top1_by_group"] = evidence_of(right, columns.groups[first])
    return evidence
