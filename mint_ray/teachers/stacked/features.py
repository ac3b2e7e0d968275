"""Candidate labels of each patient and their features, for the ranker of the stacked teacher."""

from dataclasses import dataclass

import numpy as np

from mint_ray.common.arrays import Bools, Floats32, Ints
from mint_ray.teachers.knowledge.match import KnowledgeMatch, MatchParts
from mint_ray.teachers.stacked.evidence import Evidence, SeenLabels
from mint_ray.teachers.term_patients import TermPatients

CANDIDATES = 25
"""Number of best labels that each kind of evidence proposes."""
PROPOSING = ("nearest", "naive_bayes", "log_ratio", "resnik", "ridge")
"""Kinds of evidence that propose candidates."""
RANKED = (*PROPOSING, "second", "exact", "exact_mean", "shown")
"""Kinds of evidence whose ranks and gaps to the best are features."""


@dataclass(frozen=True)
class Candidates:
    """Pairs of a patient and a label, by ascending patient.

    Attributes:
        rows: (m,) number of the patient.
        columns: (m,) position of the label, in `SeenLabels.seen` or in the catalogue.
        features: (m, n_features).
    """

    rows: Ints
    columns: Ints
    features: Floats32


@dataclass(frozen=True)
class Query:
    """n patients, with what training patients and annotations say of them.

    Attributes:
        patients: the n patients.
        evidence: for the seen labels.
        match: with the annotations of all labels.
    """

    patients: TermPatients
    evidence: Evidence
    match: MatchParts

    @classmethod
    def of_patients(
        cls, patients: TermPatients, seen: SeenLabels, knowledge: KnowledgeMatch
    ) -> "Query":
        """Collect the evidence of n patients."""
        return cls(patients, seen.evidence(patients), knowledge.parts(patients))

    @property
    def n_observed(self) -> Ints:
        """Return (n,) the number of observed terms."""
        counts: Ints = np.diff(self.patients.observed.indptr).astype(np.int64)
        return counts

    @property
    def n_excluded(self) -> Ints:
        """Return (n,) the number of excluded terms."""
        counts: Ints = np.diff(self.patients.excluded.indptr).astype(np.int64)
        return counts


def find_candidates(
    query: Query, seen: SeenLabels, has_annotations: Bools, families: Ints
) -> Candidates:
    """Propose seen labels for each patient, and compute the features of the pairs.

    Args:
        query: the patients.
        seen: training patients by label.
        has_annotations: (n_labels,) whether a label has annotations.
        families: (n_labels,) number of each label's family; see `name_families`.
    """
    evidence = query.evidence
    count = min(CANDIDATES, len(seen.seen))
    proposed = np.zeros(evidence.nearest.shape, dtype=bool)
    for name in PROPOSING:
        values = getattr(evidence, name)
        best = np.argpartition(-values, count - 1, axis=1)[:, :count]
        np.put_along_axis(proposed, best, True, axis=1)
    rows, columns = np.nonzero(proposed)
    named = _features(query, seen, has_annotations, families, rows, columns)
    features = np.stack(list(named.values()), axis=1).astype(np.float32)
    return Candidates(rows, columns, features)


def _features(
    query: Query,
    seen: SeenLabels,
    has_annotations: Bools,
    families: Ints,
    rows: Ints,
    columns: Ints,
) -> dict[str, np.ndarray]:
    """Return the features of pairs by name, each (m,)."""
    evidence, match = query.evidence, query.match
    labels, sex = seen.seen[columns], query.patients.sex[rows]
    named: dict[str, np.ndarray] = {
        name: getattr(evidence, name)[rows, columns] for name in Evidence.names()
    }
    for name in RANKED:
        values = getattr(evidence, name)
        named[f"{name}_gap"] = (values - values.max(axis=1, keepdims=True))[rows, columns]
        named[f"{name}_rank"] = _ranks(values)[rows, columns]
    kernel_total = evidence.kernel.sum(axis=1)
    named["kernel_share"] = named["kernel"] / kernel_total[rows]
    for name in ("resnik", "coverage", "reverse"):
        values = getattr(match, name)
        named[f"annotated_{name}"] = values[rows, labels]
        named[f"annotated_{name}_gap"] = values[rows, labels] - values.max(axis=1)[rows]
    named["has_annotations"] = has_annotations[labels]
    named["family"] = _best_of_family(evidence.nearest, families[seen.seen])[rows, columns]
    named["patients"] = seen.n_patients[columns]
    named["groups"] = seen.n_groups[columns]
    named["males"] = seen.male[columns] * sex
    named["females"] = seen.female[columns] * sex
    # The same for all labels of a patient: how much there is to go by.
    named["observed_terms"] = query.n_observed[rows]
    named["excluded_terms"] = query.n_excluded[rows]
    named["best_nearest"] = evidence.nearest.max(axis=1)[rows]
    named["margin"] = _margin(evidence.nearest)[rows]
    named["best_match"] = match.resnik.max(axis=1)[rows]
    return named


def gap_to_best(values: np.ndarray, rows: Ints, n: int) -> np.ndarray:
    """Return (m,) the distance of each pair's value from the best one of its patient, at most 0.

    Args:
        values: (m,) of the pairs.
        rows: (m,) number of each pair's patient.
        n: number of patients.
    """
    best = np.full(n, -np.inf)
    np.maximum.at(best, rows, values)
    gaps: np.ndarray = values - best[rows]
    return gaps


def _ranks(values: Floats32) -> Ints:
    """Return (n, n_seen) the rank of each label, 0 for the best."""
    ranks: Ints = np.argsort(np.argsort(-values, axis=1, kind="stable"), axis=1)
    return ranks


def _margin(values: Floats32) -> Floats32:
    """Return (n,) the distance of the best label from the second; 0 with one label."""
    if values.shape[1] < 2:
        return np.zeros(len(values), dtype=np.float32)
    top = np.partition(values, -2, axis=1)[:, -2:]
    margin: Floats32 = top[:, 1] - top[:, 0]
    return margin


def _best_of_family(values: Floats32, families: Ints) -> Floats32:
    """Return (n, n_seen) the best value of each label's family."""
    numbers, member = np.unique(families, return_inverse=True)
    order = np.argsort(member, kind="stable")
    starts = np.searchsorted(member[order], np.arange(len(numbers)))
    best: Floats32 = np.maximum.reduceat(values[:, order], starts, axis=1)
    return best[:, member]
