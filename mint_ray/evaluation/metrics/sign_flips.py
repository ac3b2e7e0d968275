"""Sign-flip test of paired differences, by whole groups."""

import numpy as np
from scipy.stats import permutation_test

from mint_ray.common.arrays import Floats, Ints


def sign_flip_p_value(gaps: Floats, groups: Ints, seed: int) -> float:
    """Return the one-sided p-value of paired differences, for the alternative of a sum above 0.

    Under the null hypothesis each group's sum is as likely to have the other sign. All signs are
    tried where there are few groups, so that the p-value of G groups is at least 2^-G. A bootstrap
    over few groups would give too small values. Source: Winkler et al., "Permutation inference for
    the general linear model", 2014, on sign flips by whole blocks.

    Args:
        gaps: (n,) differences, one per case.
        groups: (n,) group of each case.
        seed: of the random signs, where there are too many groups to try all signs.
    """
    _, codes = np.unique(groups, return_inverse=True)
    sums = np.bincount(codes, weights=gaps)
    if len(sums) < 2:
        return 0.5 if sums[0] > 0 else 1.0
    test = permutation_test(
        (sums,),
        np.sum,
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        batch=200,  # flips in memory at once; by default all of them
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)
