"""Match of a patient's terms to the annotations of every label, without any training."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mint_ray.common.arrays import Bools, Floats32
from mint_ray.knowledge.annotations import Annotations
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import Ontology
from mint_ray.teachers.knowledge.ancestors import (
    AncestorTable,
    content_in_patients,
    content_in_sets,
)
from mint_ray.teachers.term_encoder import TermEncoder
from mint_ray.teachers.term_patients import TermPatients

RARE_WEIGHT = 0.7
"""Weight of the rarest annotated term where the patient's closure is covered; the commonest
weighs 1."""


@dataclass(frozen=True)
class MatchParts:
    """The three parts of the match, each (n, n_labels) in [0, 1]; 0 without annotations."""

    resnik: Floats32
    """Share of the patient's information that the annotations explain, term by term."""
    coverage: Floats32
    """Share of the closure's information that is annotated; frequent terms count for more."""
    reverse: Floats32
    """Share of the annotated information that the patient shows, weighted by frequency."""

    @property
    def total(self) -> Floats32:
        """Return the match (n, n_labels) in [0, 3]."""
        total: Floats32 = self.resnik + self.coverage + self.reverse
        return total


class KnowledgeMatch:
    """Annotations of the labels, and how well patients match them.

    The match is symmetric (Köhler et al. 2009, https://doi.org/10.1016/j.ajhg.2009.09.003):
    annotations should explain the patient, and the patient should show what is annotated. The
    information content of a term is −ln of the share of annotated labels that have it.
    Excluded terms and sex do not count: any weight of them lowered the accuracy on published
    patients; see docs/results.md.

    Args:
        frequency: (n_labels, n_terms) largest annotated frequency at or below each term.
        annotated: (n_labels, n_terms) frequency of each annotated term.
        table: ancestors of all terms.
    """

    def __init__(
        self, frequency: sp.csr_array, annotated: sp.csr_array, table: AncestorTable
    ) -> None:
        self.frequency, self.annotated = frequency, annotated
        self.table = table
        self.has_annotations: Bools = np.diff(frequency.indptr) > 0
        n_annotated = int(self.has_annotations.sum())
        counts = np.bincount(frequency.indices, minlength=frequency.shape[1])
        self.content: Floats32 = np.log((n_annotated + 1) / (counts + 1)).astype(np.float32)
        weighted = frequency.copy()
        weighted.data = RARE_WEIGHT + (1 - RARE_WEIGHT) * frequency.data
        self._coverage_by_term = sp.csr_array((weighted * self.content[None]).T)

    @classmethod
    def of_annotations(
        cls, catalogue: Catalogue, annotations: Annotations, ontology: Ontology
    ) -> "KnowledgeMatch":
        """Collect the annotations of all labels."""
        encoder = TermEncoder(ontology)
        annotated: list[dict[int, float]] = []
        closed: list[dict[int, float]] = []
        for label in catalogue.labels:
            direct, above = dict[int, float](), dict[int, float]()
            for annotation in annotations.of(*label.ids):
                if annotation.excluded:
                    continue
                direct[ontology.index[annotation.term]] = annotation.frequency
                for term in encoder.closure([annotation.term]).tolist():
                    above[term] = max(above.get(term, 0.0), annotation.frequency)
            annotated.append(direct)
            closed.append(above)
        n_terms = len(ontology.ids)
        table = AncestorTable.of_ontology(ontology)
        return cls(_matrix(closed, n_terms), _matrix(annotated, n_terms), table)

    def parts(self, patients: TermPatients) -> MatchParts:
        """Return the parts of the match of n patients with all labels."""
        content = self.content
        own = np.asarray(patients.closures @ content)
        covered = (patients.closures @ self._coverage_by_term).toarray()
        return MatchParts(
            resnik=content_in_sets(patients.observed, self.frequency, content, self.table),
            coverage=(covered / np.maximum(own, 1e-6)[:, None]).astype(np.float32),
            reverse=content_in_patients(patients.closures, self.annotated, content, self.table),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return plain arrays from which `of_arrays` makes an equal match."""
        arrays = {"shape": np.array(self.frequency.shape)}
        for name, rows in (("frequency", self.frequency), ("annotated", self.annotated)):
            arrays[f"{name}.offsets"] = rows.indptr.astype(np.int64)
            arrays[f"{name}.terms"] = rows.indices.astype(np.int64)
            arrays[f"{name}.values"] = rows.data
        return arrays

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], ontology: Ontology) -> "KnowledgeMatch":
        """Make the match that gave these `arrays`."""
        shape = tuple(int(size) for size in arrays["shape"])
        frequency, annotated = (
            sp.csr_array(
                tuple(arrays[f"{name}.{part}"] for part in ("values", "terms", "offsets")),
                shape=shape,
            )
            for name in ("frequency", "annotated")
        )
        return cls(frequency, annotated, AncestorTable.of_ontology(ontology))


def _matrix(rows: list[dict[int, float]], n_terms: int) -> sp.csr_array:
    """Return (n_rows, n_terms) of rows of term index to value."""
    indices = np.fromiter((term for row in rows for term in sorted(row)), dtype=np.int64)
    values = (row[term] for row in rows for term in sorted(row))
    data = np.fromiter(values, dtype=np.float32)
    offsets = np.cumsum([0, *(len(row) for row in rows)])
    return sp.csr_array((data, indices, offsets), shape=(len(rows), n_terms))
