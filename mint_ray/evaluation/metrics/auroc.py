"""AUROC of confidence: how well it tells right first answers from wrong ones.

It is the probability that a right answer has the higher confidence of the two, ties counting half.
Resamples take it from the structural components of the cases: the share of wrong answers below each
right one, and of right ones above each wrong one (DeLong, DeLong and Clarke-Pearson, Biometrics 44,
1988). Summed over resampled groups they give its interval to first order, as in Obuchowski,
Biometrics 53, 1997.
"""

from collections.abc import Mapping

import numpy as np

from mint_ray.common.arrays import Bools, Floats


def auroc_blocks(
    confidence: Floats, correct: Bools, weights: Floats | None = None
) -> dict[str, Floats]:
    """Return the block of `auroc`, (n, 4), as `order`; nothing unless some are right, some wrong.

    Its columns are, for right answers, 1 and the component, then the same for wrong ones.

    Args:
        confidence: (n,) probability of the first answers.
        correct: (n,) whether they are right.
        weights: (n,) of the cases; equal if None.
    """
    if not correct.any() or correct.all():
        return {}
    ones = np.ones(len(confidence)) if weights is None else weights
    levels, level = np.unique(confidence, return_inverse=True)

    def below(chosen: Bools) -> Floats:
        """Return (n,) the share of the chosen cases below each case, ties counting half."""
        mass = np.bincount(level, ones * chosen, minlength=len(levels))
        share: Floats = ((np.cumsum(mass) - mass / 2) / mass.sum())[level]
        return share

    right = correct.astype(np.float64)
    wrong = 1.0 - right
    columns = [right, right * below(~correct), wrong, wrong * (1.0 - below(correct))]
    return {"order": np.column_stack(columns)}


def auroc(sums: Mapping[str, Floats]) -> Floats:
    """Return the AUROC, (1 + B,), from sums of `auroc_blocks` over a sample and its resamples.

    A resample without right or without wrong answers has the value of the sample.
    """
    order = sums["order"]
    value = order[0, 1] / order[0, 0]
    parts = [
        np.divide(
            order[:, column + 1],
            order[:, column],
            out=np.full(len(order), value),
            where=order[:, column] > 0,
        )
        for column in (0, 2)
    ]
    resampled: Floats = np.clip(parts[0] + parts[1] - value, 0.0, 1.0)
    return resampled
