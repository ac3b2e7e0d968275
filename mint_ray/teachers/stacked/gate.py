"""Gate of the stacked teacher: the kind of label that a patient's answer has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax

from mint_ray.common.arrays import Bools, Floats, Floats32, Ints
from mint_ray.teachers.stacked.features import Candidates, Query

STRATA = ("seen", "annotated", "named")
"""Kinds of label: with training patients; else with annotations; else with a name only."""


def strata_of(n_labels: int, seen: Ints, has_annotations: Bools) -> Ints:
    """Return (n_labels,) the position of each label's kind in `STRATA`."""
    strata = np.where(has_annotations, 1, 2)
    strata[seen] = 0
    return strata.astype(np.int64)


@dataclass(frozen=True)
class Gate:
    """Multinomial logistic regression of the answer's kind.

    Attributes:
        centre, scale: (n_features,) of the features, for standardisation.
        weights: (3, n_features); zero for a kind that has no label.
        bias: (3,); −inf for a kind that has no label.
        observed: number of patients the gate was fitted to.
    """

    centre: Floats
    scale: Floats
    weights: Floats
    bias: Floats
    observed: int

    @classmethod
    def fit(cls, features: Floats32, strata: Ints, weights: Floats, exists: Bools) -> "Gate":
        """Fit the gate to patients with a known answer.

        Args:
            features: (n, n_features), see `gate_features`.
            strata: (n,) kind of each answer.
            weights: (n,) of the patients.
            exists: (3,) whether any label is of the kind.
        """
        from sklearn.linear_model import LogisticRegression

        n_features = features.shape[1]
        centre, scale = np.zeros(n_features), np.ones(n_features)
        coefficients, bias = np.zeros((3, n_features)), np.where(exists, 0.0, -np.inf)
        present = np.unique(strata)
        if len(present) > 1:
            centre, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
            model = LogisticRegression(max_iter=1000)
            model.fit((features - centre) / scale, strata, sample_weight=weights)
            fitted, intercept = model.coef_, model.intercept_
            if len(present) == 2:  # one row, of the second kind against the first
                fitted, intercept = (
                    np.concatenate([0 * fitted, fitted]),
                    np.array([0, intercept[0]]),
                )
            coefficients[present], bias[present] = fitted, intercept
            # Kinds that no patient has are left to the smoothing of `log_probabilities`.
            bias[np.setdiff1d(np.flatnonzero(exists), present)] = -np.inf
        return cls(centre, scale, coefficients, bias, len(strata))

    def log_probabilities(self, features: Floats32, exists: Bools) -> Floats:
        """Return (n, 3) log-probabilities of the kinds.

        One patient of each kind that exists is added to those that the gate was fitted to, so
        that no kind is impossible.
        """
        scores = (features - self.centre) / self.scale @ self.weights.T + self.bias
        probabilities = np.exp(log_softmax(scores, axis=1))
        smoothed = self.observed * probabilities + exists
        with np.errstate(divide="ignore"):
            result: Floats = np.log(smoothed / (self.observed + exists.sum()))
        return result

    def plain(self) -> dict[str, Any]:
        """Return plain JSON from which `of_plain` makes an equal gate."""
        bias = [None if np.isneginf(value) else float(value) for value in self.bias]
        return {
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
            "weights": self.weights.tolist(),
            "bias": bias,
            "observed": self.observed,
        }

    @classmethod
    def of_plain(cls, content: Mapping[str, Any]) -> "Gate":
        """Make the gate that gave this `content`."""
        bias = [-np.inf if value is None else value for value in content["bias"]]
        return cls(
            np.array(content["centre"], dtype=np.float64),
            np.array(content["scale"], dtype=np.float64),
            np.array(content["weights"], dtype=np.float64),
            np.array(bias, dtype=np.float64),
            int(content["observed"]),
        )


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
