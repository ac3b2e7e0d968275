"""Weights of cases by which large groups do not outweigh all others."""

import numpy as np

from mint_ray.common.arrays import Floats, Ints


def group_weights(groups: Ints) -> Floats:
    """Return (n,) 1 / √(cases of the group) for the groups of n cases."""
    _, member, counts = np.unique(groups, return_inverse=True, return_counts=True)
    weights: Floats = counts[member].astype(np.float64) ** -0.5
    return weights
