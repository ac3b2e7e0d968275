"""Intervals of shares, which have a width at 0 and at 1 too.

A share is a mean of values between 0 and 1. Where all cases are right, so are those of every
bootstrap resample, and its percentiles collapse to a point. Where a few are wrong, they are
still too narrow. So the interval is also at least that of Clopper and Pearson (Biometrika 1934)
for as many independent cases as the groups are worth, after Korn and Graubard (Survey Methodology
24, 1998). That number is

    n_eff = (r + 1) / (r · V / (p · (1 − p)) + 1 / G_eff),

with the share p, its bootstrap variance V, the number r of groups that have some of the rarer
outcome, and Kish's effective number of groups G_eff = (Σ w)² / Σ w² with the weights w of the
groups (Survey Sampling, 1965). V says what the cases of a group tell beyond the first one, but
with few groups of the rarer outcome it is not known well. So one more such group is assumed, whose
cases are all alike. At 0 and 1, where V says nothing, every group counts as one case.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from mint_ray.common.arrays import Floats, Ints
from mint_ray.evaluation.metrics.bootstrap import Interval, percentile_interval, resample_sums
from mint_ray.evaluation.results import MetricValue

UNBOUNDED = ("nll", "set_size")
"""Metrics that are means over cases of values which may exceed 1."""

_TAIL = 0.025
_EDGE = 1e-12  # a share that is as close to 0 or 1 is rounded to it


@dataclass(frozen=True)
class Evidence:
    """Groups that a share was measured on."""

    effective_groups: float
    """Number G_eff of groups of equal weight that would tell as much, if cases of a group agree."""
    rarer: int
    """Number of groups that have some of the rarer outcome, whether that is right or wrong."""


def evidence_of(values: Floats, groups: Ints, weights: Floats | None = None) -> Evidence:
    """Count the groups behind a share.

    Args:
        values: (n,) of the cases, between 0 and 1.
        groups: (n,) group of each case.
        weights: (n,) of the cases in the share; equal if None.
    """
    case_weights = np.ones(len(values)) if weights is None else weights
    _, codes = np.unique(groups, return_inverse=True)
    sizes = np.bincount(codes, case_weights)
    right = np.bincount(codes, case_weights * values)
    wrong = np.bincount(codes, case_weights * (1.0 - values))
    return Evidence(
        float(sizes.sum() ** 2 / (sizes**2).sum()), int(min((right > 0).sum(), (wrong > 0).sum()))
    )


def share_interval(share: float, resampled: Floats, evidence: Evidence, n: int) -> Interval:
    """Return the 95 % interval of a share: the wider end, on each side, of both methods.

    Args:
        share: of the sample itself, between 0 and 1.
        resampled: (B,) of the resamples.
        evidence: the groups that it was measured on.
        n: number of cases.
    """
    percentiles = percentile_interval(share, resampled, n)
    variance, spread = float(np.var(resampled)), share * (1.0 - share)
    per_case = variance / spread if spread > _EDGE else 0.0
    size = (evidence.rarer + 1) / (evidence.rarer * per_case + 1.0 / evidence.effective_groups)
    right, wrong = share * size, (1.0 - share) * size
    low = float(betaincinv(right, wrong + 1.0, _TAIL)) if share > _EDGE else 0.0
    high = float(betaincinv(right + 1.0, wrong, 1.0 - _TAIL)) if share < 1.0 - _EDGE else 1.0
    # Sums that are rounded may put a percentile beyond 0 or 1 by an ulp.
    low, high = max(0.0, min(low, percentiles.low)), min(1.0, max(high, percentiles.high))
    return Interval(min(max(share, low), high), low, high, n)


def mean_share_interval(values: Floats, groups: Ints, samples: int, seed: int) -> Interval:
    """Return the mean of a per-case metric between 0 and 1, (n,), with its interval.

    Arguments are those of `resample_sums`.
    """
    sums, counts = resample_sums(values[:, None], groups, samples, seed)
    evidence = evidence_of(values, groups)
    return share_interval(float(values.mean()), sums[:, 0] / counts, evidence, len(values))


def metric_value(statistic: Floats, n: int, evidence: Evidence | None = None) -> MetricValue:
    """Return a metric with its interval.

    Args:
        statistic: (1 + B,) of the sample itself, then of its resamples; (1,) without resamples.
        n: number of cases.
        evidence: the groups behind a share; None for a metric that is no share.
    """
    value = float(statistic[0])
    resampled = statistic[1:] if len(statistic) > 1 else statistic
    if evidence is None:
        interval = percentile_interval(value, resampled, n)
    else:
        interval = share_interval(value, resampled, evidence, n)
    return MetricValue(value=interval.value, low=interval.low, high=interval.high, n=n)
