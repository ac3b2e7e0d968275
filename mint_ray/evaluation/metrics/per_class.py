"""Metrics per answer for small catalogues, as functions of sums over cases.

The blocks of columns here are summed over any set of cases, such as a bootstrap resample, and the
metrics are computed from the sums.
"""

from collections.abc import Mapping

import numpy as np

from mint_ray.common.arrays import Bools, Floats, Ints
from mint_ray.evaluation.metrics.ece import assign_bins
from mint_ray.evaluation.outcomes import PROBABILITY_FLOOR


def class_blocks(first: Ints, known: Ints, n_labels: int) -> dict[str, Floats]:
    """Return `known`, `answered` and `right`, (n, n_labels + 1) of 0 and 1 each.

    They say for each case and answer whether it is the known answer, the first answer, and both.
    Known answers that the catalogue lacks share the last column, which no system can answer. The
    row of a case without an answer is all 0 in `answered`.

    Args:
        first: (n,) code of the first answer, negative where there is none.
        known: (n,) code of the known answer, negative where the catalogue lacks it.
        n_labels: size of the catalogue.
    """
    known_column = _one_hot(np.where(known < 0, n_labels, known), n_labels + 1)
    answered = _one_hot(first, n_labels + 1)
    return {"known": known_column, "answered": answered, "right": known_column * answered}


def _one_hot(codes: Ints, width: int) -> Floats:
    """Return (n, width) of 0 and 1; rows of negative codes are all 0."""
    columns: Floats = (codes[:, None] == np.arange(width)[None, :]).astype(np.float64)
    return columns


def balanced_accuracy(sums: Mapping[str, Floats]) -> Floats:
    """Return the mean over the known answers of the share of their cases answered right.

    In a resample the mean is over the answers that were drawn. It is 0 where there is no case.

    Args:
        sums: of `class_blocks` over cases, (..., n_labels + 1) each.

    Returns:
        (...).
    """
    known = sums["known"]
    return _mean_over(_ratio(sums["right"], known), known > 0)


def macro_f1(sums: Mapping[str, Floats]) -> Floats:
    """Return the mean F1 = 2·tp / (2·tp + fp + fn) over the answers that are known or given.

    A case without an answer is a miss (fn) of its known answer, but no false positive (fp).
    Shapes are as for `balanced_accuracy`.
    """
    denominator = sums["known"] + sums["answered"]  # 2·tp + fn + fp
    return _mean_over(_ratio(2 * sums["right"], denominator), denominator > 0)


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Return `part / whole`, 0 where the whole is 0."""
    ratio: Floats = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return ratio


def _mean_over(values: Floats, present: Bools) -> Floats:
    mean: Floats = (values * present).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)
    return mean


def class_gaps(distribution: Floats, known: Ints, bins: int) -> Floats:
    """Return (n, n_labels·bins): probability − (1 if known, else 0) of each answer, in its bin.

    Args:
        distribution: (n, n_labels) probability of each answer.
        known: (n,) code of the known answer, negative where the catalogue lacks it.
        bins: number of equal-width bins of probability.
    """
    n, n_labels = distribution.shape
    gaps = distribution - _one_hot(known, n_labels)
    columns = np.zeros((n, n_labels, bins))
    cells = np.arange(n)[:, None], np.arange(n_labels)[None, :], assign_bins(distribution, bins)
    columns[cells] = gaps
    return columns.reshape(n, n_labels * bins)


def classwise_ece(gap_sums: Floats, n: Floats, n_labels: int) -> Floats:
    """Return (1 / L) Σ_label Σ_bin (n_bin / n) |mean probability − frequency|, shape (...).

    Args:
        gap_sums: (..., L·bins) sums of `class_gaps` over n cases.
        n: (...) number of cases.
        n_labels: size L of the catalogue.

    Source: static calibration error of Nixon et al., arXiv 1904.01685; classwise ECE of Xiao et
    al., arXiv 2505.01997.
    """
    ece: Floats = np.abs(gap_sums).sum(axis=-1) / np.maximum(n, 1) / n_labels
    return ece


def group_blocks(distribution: Floats, known: Ints, groups: Ints) -> dict[str, Floats]:
    """Return `group_right` and `group_units`, (n, 1) each, for one answer per group.

    A unit is a group, or each known answer of a group that has several. `group_units` is 1 at the
    first case of a unit, and `group_right` is 1 there if the answer of the unit is right. That is
    the answer with the highest mean log probability over the unit's cases. A case without an
    answer (a row of zeros) does not favour any answer; a unit of such cases only is a miss.

    Args:
        distribution: (n, n_labels) probability of each answer.
        known: (n,) code of the known answer, negative where the catalogue lacks it.
        groups: (n,) group of each case.
    """
    pairs, first_case, unit = np.unique(
        np.column_stack([groups, known]), axis=0, return_index=True, return_inverse=True
    )
    sums = np.zeros((len(pairs), distribution.shape[1]))
    np.add.at(sums, unit.ravel(), np.log(np.maximum(distribution, PROBABILITY_FLOOR)))
    answered = sums.max(axis=1) > sums.min(axis=1)
    right = answered & (sums.argmax(axis=1) == pairs[:, 1])
    blocks = {name: np.zeros((len(known), 1)) for name in ("group_right", "group_units")}
    blocks["group_right"][first_case, 0] = right
    blocks["group_units"][first_case, 0] = 1
    return blocks


def class_statistics(sums: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return all metrics of this module, (1 + B,) each, from sums of its blocks.

    Metrics whose blocks are missing are left out.

    Args:
        sums: from `resample_blocks`.
    """
    values = {"balanced_accuracy": balanced_accuracy(sums), "macro_f1": macro_f1(sums)}
    if "class_gaps" in sums:
        n_labels = sums["known"].shape[1] - 1
        values["classwise_ece"] = classwise_ece(sums["class_gaps"], sums["cases"][:, 0], n_labels)
    if "group_units" in sums:
        units = np.maximum(sums["group_units"][:, 0], 1)
        values["top1_by_group"] = sums["group_right"][:, 0] / units
    return values
