"""Kernel ridge regression of labels on training patients: how similar patients share a label.

The most similar patient alone is easily the wrong one. The regression weighs all training patients
at once, so that a patient who is similar to patients of many labels speaks for none of them.
Source: Saunders et al., "Ridge Regression Learning Algorithm in Dual Variables", 1998.
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from mint_ray.common.arrays import Floats, Floats32, Ints

NOISE = 0.5
"""Ridge of a patient whose weight is one; a patient of a large group has a larger one."""
DECIMALS = 6
"""Decimals of a score. The last bits may differ with the memory that a product is computed in, and
trees that are fitted to other bits may be other trees."""
MOST_PATIENTS = 8000
"""Largest number of patients: time grows with its cube, memory with its square."""


class LabelRidge:
    """A ridge regression of the indicator of each label.

    Args:
        labels: (n_patients,) label of each patient, ascending; every one counts from 0.
        weights: (n_patients,) of the patients.

    Attributes:
        patients: (m,) the patients that it is fitted to: at most `MOST_PATIENTS`, of each label
            about equally many.
        duals: (m, n_labels) coefficients, of `fit` or of an earlier fit to the same patients.
    """

    def __init__(self, labels: Ints, weights: Floats) -> None:
        kinds, starts = np.unique(labels, return_index=True)
        self._n_labels = len(kinds)  # also those of which no patient is among the chosen
        turn = np.arange(len(labels)) - starts[labels]
        chosen = np.argsort(turn, kind="stable")[:MOST_PATIENTS]
        self.patients: Ints = np.sort(chosen).astype(np.int64)
        self._labels, self._weights = labels[self.patients], weights[self.patients]
        self.duals: Floats = np.zeros((len(self.patients), self._n_labels))

    def fit(self, kernel: Floats32) -> None:
        """Fit the regression.

        Args:
            kernel: (m, m) similarity of the patients, symmetric and positive semidefinite.
        """
        ridged = kernel.astype(np.float64)
        ridged[np.diag_indices_from(ridged)] += NOISE / self._weights
        targets = np.zeros((len(ridged), self._n_labels))
        targets[np.arange(len(ridged)), self._labels] = 1.0
        factor = cho_factor(ridged, overwrite_a=True, check_finite=False)
        self.duals = cho_solve(factor, targets, overwrite_b=True, check_finite=False)

    def score(self, kernel: Floats32) -> Floats32:
        """Return (n, n_labels) the regression of n patients.

        Args:
            kernel: (n, m) their similarity with the patients of the regression.
        """
        exact = kernel.astype(np.float64) @ self.duals
        result: Floats32 = exact.round(DECIMALS).astype(np.float32)
        return result
