"""Features of the stacked teacher's gate."""

import numpy as np

from mint_ray.common.arrays import Bools, Floats, Floats32, Ints
from mint_ray.teachers.stacked.features import Candidates, Query


def gate_features(
    query: Query, candidates: Candidates, ranking: Floats, names: Floats32, strata: Ints
) -> Floats32:
    """Return (n, 9): how good the best label of each kind is, and how much there is to go by.

    Args:
        query: the n patients.
        candidates: of the patients.
        ranking: (m,) score of each candidate by the ranker.
        names: (n, n_labels) match with the labels' names.
        strata: (n_labels,) kind of each label.
    """
    n = len(query.patients)
    best = np.full(n, -np.inf)
    np.maximum.at(best, candidates.rows, ranking)
    total = np.bincount(candidates.rows, np.exp(ranking - best[candidates.rows]), n)
    match = query.match.total
    by_kind = [_best(match, strata == kind) for kind in (0, 1)]
    columns = [
        query.evidence.nearest.max(axis=1),
        query.evidence.resnik.max(axis=1),
        best,
        -np.log(total),
        *by_kind,
        _best(names, strata == 2),
        np.log1p(query.n_observed),
        np.log1p(query.n_excluded),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _best(values: Floats32, wanted: Bools) -> Floats32:
    """Return (n,) the largest value among the wanted labels, 0 without one."""
    best: Floats32 = np.max(values, axis=1, where=wanted[None], initial=0.0)
    return best
