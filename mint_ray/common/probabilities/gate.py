"""Gate: the probabilities of the few kinds that a case may belong to, from its features."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax

from mint_ray.common.arrays import Bools, Floats, Floats32, Ints


@dataclass(frozen=True)
class Gate:
    """Multinomial logistic regression of the kind that a case belongs to, of K kinds.

    Attributes:
        centre, scale: (n_features,) of the features, for standardisation.
        weights: (K, n_features); zero for a kind that does not exist.
        bias: (K,); −inf for a kind that does not exist.
        observed: number of cases the gate was fitted to.
    """

    centre: Floats
    scale: Floats
    weights: Floats
    bias: Floats
    observed: int

    @classmethod
    def fit(cls, features: Floats32, kinds: Ints, weights: Floats, exists: Bools) -> "Gate":
        """Fit the gate to cases whose kind is known.

        Args:
            features: (n, n_features).
            kinds: (n,) kind of each case, from 0.
            weights: (n,) of the cases.
            exists: (K,) whether a case may be of the kind.
        """
        from sklearn.linear_model import LogisticRegression

        n_features = features.shape[1]
        centre, scale = np.zeros(n_features), np.ones(n_features)
        coefficients, bias = np.zeros((len(exists), n_features)), np.where(exists, 0.0, -np.inf)
        present = np.unique(kinds)
        if len(present) > 1:
            centre, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
            model = LogisticRegression(max_iter=1000)
            model.fit((features - centre) / scale, kinds, sample_weight=weights)
            fitted, intercept = model.coef_, model.intercept_
            if len(present) == 2:  # one row, of the second kind against the first
                fitted, intercept = (
                    np.concatenate([0 * fitted, fitted]),
                    np.array([0, intercept[0]]),
                )
            coefficients[present], bias[present] = fitted, intercept
            # Kinds that no case has are left to the smoothing of `log_probabilities`.
            bias[np.setdiff1d(np.flatnonzero(exists), present)] = -np.inf
        return cls(centre, scale, coefficients, bias, len(kinds))

    def log_probabilities(self, features: Floats32, exists: Bools) -> Floats:
        """Return (n, K) log-probabilities of the kinds.

        One case of each kind that exists is added to those that the gate was fitted to, so that
        no kind is impossible.
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
