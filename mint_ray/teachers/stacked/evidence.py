"""Evidence for the labels that have training patients, from these patients and annotations."""

from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from mint_ray.common.arrays import Floats, Floats32, Ints
from mint_ray.common.probabilities.group_weights import group_weights
from mint_ray.teachers.fusion.label_profiles import (
    ANNOTATION_PATIENTS,
    SILENT_SHARE,
    UNEXPLAINED_SHARE,
)
from mint_ray.teachers.knowledge.ancestors import AncestorTable, content_in_sets
from mint_ray.teachers.neighbours.index import PatientIndex
from mint_ray.teachers.stacked.ridge import LabelRidge
from mint_ray.teachers.term_patients import TermPatients

EXCLUDED_SHARE = 0.2
"""Weight of the cosine of excluded terms beside that of observed terms in `joint`."""
RIDGE_SHARES = (1.0, 0.3, 0.5)
"""Weights of the cosines of closures, excluded terms and observed terms in the ridge's kernel."""
KERNEL_WIDTH = 12.0
"""Inverse width of the kernel over cosines."""
PRIOR_PATIENTS = 2.0
"""Number of patients that the background counts as in the smoothed log ratio."""


@dataclass(frozen=True)
class Evidence:
    """Evidence of n patients for each seen label; each array is (n, n_seen)."""

    nearest: Floats32
    """Cosine with the label's most similar patient."""
    kernel: Floats32
    """Sum over the label's patients of exp(12 (cosine − 1))."""
    mean: Floats32
    """Mean cosine with the label's patients."""
    excluded_nearest: Floats32
    """Largest cosine of excluded terms."""
    excluded_mean: Floats32
    """Mean cosine of excluded terms."""
    joint: Floats32
    """Largest cosine of one patient, excluded terms counted with a fifth."""
    naive_bayes: Floats32
    """Mean log-likelihood ratio of the terms under the pooled profile."""
    log_ratio: Floats32
    """Mean log ratio of the closure's smoothed frequencies to the background."""
    resnik: Floats32
    """Share of the patient's information that the pooled profile explains."""
    excluded_match: Floats32
    """Log-probability of the exclusions under the pooled profile."""
    excluded_agreement: Floats32
    """Mean share of the label's patients without the excluded terms."""
    second: Floats32
    """Cosine with the most similar patient of the second best group; 0 with a single group."""
    exact: Floats32
    """Largest cosine of observed terms without their ancestors."""
    exact_mean: Floats32
    """Mean cosine of observed terms without their ancestors."""
    shown: Floats32
    """Share of the information of the label's patients that the patient shows."""
    ridge: Floats32
    """Regression of the label on its patients' similarity; see `LabelRidge`."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the arrays."""
        return tuple(field.name for field in fields(cls))


class SeenLabels:
    """Training patients grouped by label, and what a new patient shares with each label.

    Args:
        patients: training patients, in any order.
        labels: (n_patients,) catalogue index of each patient's label.
        groups: (n_patients,) number of each patient's group.
        frequency: (n_labels, n_terms) annotated frequency at or below each term.
        table: ancestors of all terms.
        duals: coefficients of the ridge regression, where it was fitted to the same patients
            before: the fit takes seconds, and its last bits depend on the machine.

    Attributes:
        seen: (n_seen,) catalogue index of each label with a patient, ascending.
        n_patients, n_groups: (n_seen,) numbers of its patients and of their groups.
        male, female: (n_seen,) shares of its patients.
        ridge: regression of the label on the patients.
    """

    def __init__(
        self,
        patients: TermPatients,
        labels: Ints,
        groups: Ints,
        frequency: sp.csr_array,
        table: AncestorTable,
        duals: Floats | None = None,
    ) -> None:
        self._table = table
        order = np.lexsort((groups, labels))
        patients, labels, groups = patients.take(order), labels[order], groups[order]
        self.seen, starts, counts = np.unique(labels, return_index=True, return_counts=True)
        self._starts, self.n_patients = starts, counts.astype(np.int64)
        row_of = np.searchsorted(self.seen, labels)
        pairs, self._pair_starts = np.unique(np.stack([row_of, groups]), axis=1, return_index=True)
        self.n_groups = np.bincount(pairs[0], minlength=len(self.seen))
        self.male = np.bincount(row_of, patients.sex > 0, len(self.seen)) / counts
        self.female = np.bincount(row_of, patients.sex < 0, len(self.seen)) / counts
        n_terms = patients.closures.shape[1]
        self._observed = PatientIndex.of_patients(_bags(patients.closures), labels, n_terms)
        self._excluded = PatientIndex.of_patients(_bags(patients.excluded), labels, n_terms)
        self._exact = PatientIndex.of_patients(_bags(patients.observed), labels, n_terms)
        self._pool(patients, row_of, sp.csr_array(frequency[self.seen]))
        self.ridge = LabelRidge(row_of, group_weights(groups))
        if duals is None:
            asked = patients.take(self.ridge.patients)
            self.ridge.fit(self._ridge_kernel(*self._cosines(asked)))
        else:
            self.ridge.duals = duals

    def _pool(self, patients: TermPatients, row_of: Ints, annotated: sp.csr_array) -> None:
        """Pool the label's patients and annotations into one profile per label."""
        n, n_seen = len(patients), len(self.seen)
        ones = np.ones(n, dtype=np.float32)
        members = sp.csr_array((ones, (row_of, np.arange(n))), shape=(n_seen, n))
        present, absent = members @ patients.closures, members @ patients.excluded
        background = (np.asarray(patients.closures.sum(axis=0)).ravel() + 1) / (n + 2)
        self._content = np.maximum(-np.log(background), 0.0).astype(np.float32)

        rows, terms = (present + annotated).nonzero()
        has, lacks, stated = (_at(m, rows, terms) for m in (present, absent, annotated))
        prior = ANNOTATION_PATIENTS * (stated > 0)
        silent = np.maximum(self.n_patients[rows] - has - lacks, 0)
        frequency = (prior * stated + has) / (prior + has + lacks + SILENT_SHARE * silent)
        frequency = np.minimum(frequency, 1.0)

        def by_term(values: np.ndarray) -> sp.csr_array:
            entries = values.astype(np.float32)
            return sp.csr_array((entries, (terms, rows)), shape=(len(background), n_seen))

        ratio = frequency / np.maximum(background[terms], 1e-4)
        self._naive_bayes = by_term(np.log1p(ratio * (1 / UNEXPLAINED_SHARE - 1)))
        self._excluded_match = by_term(np.log1p(-0.9 * frequency))
        # A term that no patient of the label has gets the label's floor, the others their excess.
        total = self.n_patients + PRIOR_PATIENTS
        self._floor: Floats32 = np.log(PRIOR_PATIENTS / total).astype(np.float32)
        smoothed = (has + PRIOR_PATIENTS * background[terms]) / total[rows]
        self._log_ratio = by_term(np.log(smoothed / background[terms]) - self._floor[rows])
        agreement = sp.csr_array(absent)
        agreement.data = np.minimum(
            agreement.data / np.repeat(self.n_patients, np.diff(agreement.indptr)), 1.0
        )
        self._agreement = sp.csr_array(agreement.T)
        self._profiles = sp.csr_array(
            (np.ones(len(rows), np.float32), (rows, terms)), shape=(n_seen, len(background))
        )
        shares = present * (1 / self.n_patients)[:, None] * self._content[None]
        self._information = np.maximum(np.asarray(shares.sum(axis=1)).ravel(), 1e-6)
        self._shown = sp.csr_array(shares.T).astype(np.float32)

    def _cosines(self, patients: TermPatients) -> tuple[Floats32, Floats32, Floats32]:
        """Return (n, n_patients) each: cosines of closures, excluded and observed terms."""
        return (
            self._observed.cosines(_bags(patients.closures)),
            self._excluded.cosines(_bags(patients.excluded)),
            self._exact.cosines(_bags(patients.observed)),
        )

    def _ridge_kernel(self, *cosines: Floats32) -> Floats32:
        """Return (n, m) the kernel of n patients with those of the ridge."""
        total = np.zeros((len(cosines[0]), len(self.ridge.patients)), dtype=np.float32)
        for share, cosine in zip(RIDGE_SHARES, cosines, strict=True):
            total += np.float32(share) * cosine[:, self.ridge.patients]
        return total

    def evidence(self, patients: TermPatients) -> Evidence:
        """Return the evidence of n patients for each seen label."""
        observed, excluded, exact = self._cosines(patients)
        n_observed = np.maximum(np.diff(patients.observed.indptr), 1)[:, None]
        n_excluded = np.maximum(np.diff(patients.excluded.indptr), 1)[:, None]
        weighted = patients.closures * (self._content / self._content.mean())[None]
        log_ratio = (weighted @ self._log_ratio).toarray() + np.outer(
            np.asarray(weighted.sum(axis=1)).ravel(), self._floor
        )
        return Evidence(
            nearest=self._best(observed),
            kernel=self._sum(np.exp(KERNEL_WIDTH * (observed - 1))),
            mean=self._mean(observed),
            excluded_nearest=self._best(excluded),
            excluded_mean=self._mean(excluded),
            joint=self._best(observed + EXCLUDED_SHARE * excluded),
            naive_bayes=(patients.closures @ self._naive_bayes).toarray() / n_observed,
            log_ratio=log_ratio / n_observed,
            resnik=content_in_sets(patients.observed, self._profiles, self._content, self._table),
            excluded_match=(patients.excluded @ self._excluded_match).toarray(),
            excluded_agreement=(patients.excluded @ self._agreement).toarray() / n_excluded,
            second=self._second(observed),
            exact=self._best(exact),
            exact_mean=self._mean(exact),
            shown=(patients.closures @ self._shown).toarray() / self._information,
            ridge=self.ridge.score(self._ridge_kernel(observed, excluded, exact)),
        )

    def _second(self, values: Floats32) -> Floats32:
        """Return (n, n_seen) the best value of the second best group of each label."""
        by_group = np.maximum.reduceat(values, self._pair_starts, axis=1)
        starts = np.cumsum(self.n_groups) - self.n_groups
        second = np.zeros((len(values), len(self.seen)), dtype=np.float32)
        for label in np.flatnonzero(self.n_groups > 1).tolist():
            of_label = by_group[:, starts[label] : starts[label] + self.n_groups[label]]
            second[:, label] = np.partition(of_label, -2, axis=1)[:, -2]
        return second

    def _best(self, values: Floats32) -> Floats32:
        best: Floats32 = np.maximum.reduceat(values, self._starts, axis=1)
        return best

    def _mean(self, values: Floats32) -> Floats32:
        return np.asarray(self._sum(values) / self.n_patients, dtype=np.float32)

    def _sum(self, values: Floats32) -> Floats32:
        total: Floats32 = np.add.reduceat(values, self._starts, axis=1)
        return total


def _bags(rows: sp.csr_array) -> list[Ints]:
    indices = rows.indices.astype(np.int64)
    return [indices[a:b] for a, b in pairwise(rows.indptr.tolist())]


def _at(matrix: sp.csr_array, rows: Ints, columns: Ints) -> Floats32:
    """Return the entries of a sparse matrix at pairs of row and column."""
    values: Floats32 = np.asarray(matrix[rows, columns]).ravel().astype(np.float32)
    return values
