"""Phenotype profiles of the labels, and the match of a patient's findings to them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from mint_ray.knowledge.annotations import Annotation, Annotations
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.teachers.term_encoder import TermEncoder

ANNOTATION_PATIENTS = 2.0
"""Number of patients that an annotated frequency counts as, beside training patients."""
SILENT_SHARE = 0.3
"""Share of the patients with a silent record who count as examined and without the finding."""
UNEXPLAINED_SHARE = 0.05
"""Share of a patient's findings that the disease does not explain."""
EXCLUDED_WEIGHT = 0.3
"""Weight of an excluded term in the match, relative to an observed one."""

Profile = tuple[Annotation, ...]


def pooled_profiles(
    catalogue: Catalogue, annotations: Annotations, rows: Iterable[Mapping[str, Any]]
) -> list[Profile]:
    """Pool the annotations of each label with its training patients.

    A training patient's record is evidence of the same kind as the published ones that the
    annotation file counts. Where k of n patients have a finding whose annotated frequency is f,
    the pooled frequency is (2 f + k) / (2 + n). n counts the patients who were examined for the
    finding and a part of those whose record is silent.

    Args:
        catalogue: the labels.
        annotations: of the labels.
        rows: training patients with `label_id`, `terms`, `face_terms`, `excluded_terms`.

    Returns:
        The profile of each label, in catalogue order.
    """
    patients: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        index = catalogue.index_of(row["label_id"] or "")
        if index is not None:
            patients[index].append(row)
    return [
        _pool(annotations.of(*label.ids), patients.get(index, []))
        for index, label in enumerate(catalogue.labels)
    ]


def _pool(annotated: Profile, patients: Sequence[Mapping[str, Any]]) -> Profile:
    if not patients:
        return annotated
    present, absent = Counter[str](), Counter[str]()
    for row in patients:
        has = {*row["terms"], *row["face_terms"]}
        present.update(has)
        absent.update(set(row["excluded_terms"]) - has)
    known = {annotation.term: annotation for annotation in annotated}
    pooled = []
    for term in sorted({*known, *present, *absent}):
        silent = len(patients) - present[term] - absent[term]
        counted = present[term] + absent[term] + SILENT_SHARE * silent
        prior = ANNOTATION_PATIENTS if term in known else 0.0
        annotated_present = prior * known[term].frequency if prior else 0.0
        frequency = (annotated_present + present[term]) / (prior + counted)
        sex = known[term].sex if prior and not present[term] else None
        pooled.append(Annotation(term, frequency, frequency == 0.0, sex, ()))
    return tuple(pooled)


class ProfileMatch:
    """Log-likelihood ratios of a patient's findings between each label and the background.

    This is the naive Bayes model of phenotype matching over closures. An observed term adds
    log(1 + f (1 − e) / (e b)), where f is the frequency in the label of the term or anything
    below it, b the mean of f over all labels and e the share of unexplained findings. An
    excluded term adds 0.3 log(1 − 0.9 f). A finding of the face is weighted by its probability.

    Args:
        observed, excluded: (n_labels, n_terms) sparse, with the same entries.
        closures: closure of each facial finding.
    """

    def __init__(
        self,
        observed: sp.csr_array,
        excluded: sp.csr_array,
        closures: Sequence[NDArray[np.int64]],
    ) -> None:
        self._observed, self._excluded = observed, excluded
        # Rows are terms: the product with a few terms of each patient then reads their rows only.
        self._by_term = observed.T.tocsr(), excluded.T.tocsr()
        self._findings = self._sum(closures, self._by_term[0])

    @classmethod
    def of_profiles(
        cls,
        profiles: Sequence[Profile],
        encoder: TermEncoder,
        n_terms: int,
        closures: Sequence[NDArray[np.int64]],
    ) -> "ProfileMatch":
        """Compute the match to the profiles of all labels.

        Args:
            profiles: of each label, in catalogue order.
            encoder: of the terms.
            n_terms: number of terms of the ontology.
            closures: closure of each facial finding.
        """
        frequency = _closure_frequencies(profiles, encoder, n_terms)
        described = max(1, int((np.diff(frequency.indptr) > 0).sum()))
        background = np.asarray(frequency.sum(axis=0)).ravel() / described
        observed, excluded = frequency.copy(), frequency.copy()
        ratio = frequency.data / background[frequency.indices]
        observed.data = np.log1p(ratio * (1 / UNEXPLAINED_SHARE - 1)).astype(np.float32)
        excluded.data = (EXCLUDED_WEIGHT * np.log1p(-0.9 * frequency.data)).astype(np.float32)
        return cls(observed, excluded, closures)

    def score(
        self,
        observed: Sequence[NDArray[np.int64]],
        excluded: Sequence[NDArray[np.int64]],
        findings: NDArray[np.float32],
    ) -> torch.Tensor:
        """Return the match (n, n_labels) of n patients.

        Args:
            observed: closure of each patient's observed terms.
            excluded: each patient's excluded terms, without ancestors.
            findings: (n, n_findings) probabilities that the face shows the finding.
        """
        by_terms = self._sum(observed, self._by_term[0]) + self._sum(excluded, self._by_term[1])
        return torch.from_numpy(by_terms + findings @ self._findings)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return plain arrays from which `of_tensors` makes an equal match."""
        return {
            "offsets": torch.from_numpy(self._observed.indptr.astype(np.int64)),
            "terms": torch.from_numpy(self._observed.indices.astype(np.int64)),
            "observed": torch.from_numpy(self._observed.data),
            "excluded": torch.from_numpy(self._excluded.data),
        }

    @classmethod
    def of_tensors(
        cls,
        tensors: Mapping[str, torch.Tensor],
        n_terms: int,
        closures: Sequence[NDArray[np.int64]],
    ) -> "ProfileMatch":
        """Make the match that gave these `tensors`; other arguments as for `of_profiles`."""
        offsets, terms = tensors["offsets"].numpy(), tensors["terms"].numpy()
        shape = (len(offsets) - 1, n_terms)
        observed, excluded = (
            sp.csr_array((tensors[name].numpy(), terms, offsets), shape=shape)
            for name in ("observed", "excluded")
        )
        return cls(observed, excluded, closures)

    @staticmethod
    def _sum(bags: Sequence[NDArray[np.int64]], by_term: sp.csr_array) -> NDArray[np.float32]:
        """Return (n, n_labels): for each bag of terms, the sum of their rows in `by_term`."""
        offsets = np.cumsum([0, *(len(bag) for bag in bags)])
        terms = np.concatenate([*bags, np.zeros(0, dtype=np.int64)]).astype(np.int64)
        ones = np.ones(len(terms), dtype=np.float32)
        chosen = sp.csr_array((ones, terms, offsets), shape=(len(bags), by_term.shape[0]))
        total: NDArray[np.float32] = (chosen @ by_term).toarray().astype(np.float32, copy=False)
        return total


def _closure_frequencies(
    profiles: Sequence[Profile], encoder: TermEncoder, n_terms: int
) -> sp.csr_array:
    """Return (n_labels, n_terms): 1 − Π (1 − f) over the annotations at or below each term."""
    indices, values, offsets = [], [], [0]
    for profile in profiles:
        absent: dict[int, float] = defaultdict(float)  # log of Π (1 − f)
        for annotation in profile:
            if not annotation.excluded:
                step = float(np.log1p(-0.999 * annotation.frequency))
                for term in encoder.closure([annotation.term]).tolist():
                    absent[term] += step
        terms = sorted(absent)
        indices += terms
        values += [absent[term] for term in terms]
        offsets.append(len(indices))
    frequency = -np.expm1(np.array(values, dtype=np.float64)).astype(np.float32)
    return sp.csr_array((frequency, indices, offsets), shape=(len(profiles), n_terms))
