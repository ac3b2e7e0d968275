"""Order of documents by scores, and fusion of several orders."""

from collections.abc import Sequence

import numpy as np

from mint_ray.common.arrays import Floats, Floats32, Ints

K = 60
"""Constant of reciprocal rank fusion, as published."""
DEPTH = 1000
"""Documents of each order that count in a fusion."""


def best_first(scores: Floats | Floats32) -> Ints:
    """Return (n,) indices by falling score; of equal ones the first in the order of documents."""
    order: Ints = np.argsort(-scores, kind="stable").astype(np.int64)
    return order


def reciprocal_rank_fusion(
    orders: Sequence[Floats | Floats32], k: int = K, depth: int = DEPTH
) -> Floats:
    """Return (n,) sums of 1 / (k + rank) over several scorings of the same documents.

    Only the first `depth` of each scoring count, and only those with a score above 0.
    Source: Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and
    individual rank learning methods", SIGIR 2009.

    Args:
        orders: (n,) scores of each retriever, higher is better.
        k: constant; the larger, the less the first places count.
        depth: of each scoring.
    """
    fused = np.zeros(len(orders[0]))
    for scores in orders:
        best = best_first(scores)[:depth]
        best = best[scores[best] > 0]
        fused[best] += 1 / (k + np.arange(1, len(best) + 1))
    return fused
