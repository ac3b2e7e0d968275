"""Training patients as weighted bags of terms, and the similarity of other patients to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mint_ray.common.arrays import Floats32, Ints


@dataclass(frozen=True)
class PatientIndex:
    """Training patients, sorted by label.

    Attributes:
        vectors: (n_patients, n_terms); each row has Euclidean length one.
        weights: (n_terms,) square root of the information content of each term.
        labels: (n_patients,) catalogue index of each patient's label, ascending.
    """

    vectors: sp.csr_array
    weights: Floats32
    labels: Ints

    @classmethod
    def of_patients(
        cls, closures: Sequence[Ints], labels: Sequence[int] | Ints, n_terms: int
    ) -> "PatientIndex":
        """Index patients by the closures of their observed terms.

        The information content of a term is −ln((1 + patients who have it) / (1 + patients)).

        Args:
            closures: positions of each patient's terms and of all terms above them.
            labels: catalogue index of each patient's label.
            n_terms: number of terms of the ontology.
        """
        counts = np.zeros(n_terms)
        for closure in closures:
            counts[closure] += 1
        content = -np.log((1 + counts) / (1 + len(closures)))
        weights = np.sqrt(np.maximum(content, 0.0)).astype(np.float32)
        order = np.argsort(np.asarray(labels, dtype=np.int64), kind="stable")
        vectors = _vectors([closures[row] for row in order], weights)
        return cls(vectors, weights, np.asarray(labels, dtype=np.int64)[order])

    @property
    def seen(self) -> Ints:
        """Catalogue index of every label that has a patient, ascending."""
        return np.unique(self.labels)

    def similarity(self, closures: Sequence[Ints]) -> Floats32:
        """Return (n, n_seen): the cosine of n patients and each label's most similar patient.

        Args:
            closures: of the n patients, as for `of_patients`.
        """
        cosines = self.cosines(closures)
        _, starts = np.unique(self.labels, return_index=True)
        best: Floats32 = np.maximum.reduceat(cosines, starts, axis=1)
        return best

    def cosines(self, closures: Sequence[Ints]) -> Floats32:
        """Return (n, n_patients): the cosine of n patients and each training patient.

        Args:
            closures: of the n patients, as for `of_patients`.
        """
        cosines: Floats32 = (_vectors(closures, self.weights) @ self.vectors.T).toarray()
        return cosines

    def arrays(self) -> dict[str, np.ndarray]:
        """Return plain arrays from which `of_arrays` makes an equal index."""
        return {
            "offsets": self.vectors.indptr.astype(np.int64),
            "terms": self.vectors.indices.astype(np.int64),
            "values": self.vectors.data,
            "weights": self.weights,
            "labels": self.labels,
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "PatientIndex":
        """Make the index that gave these `arrays`."""
        weights, labels = arrays["weights"], arrays["labels"]
        parts = (arrays["values"], arrays["terms"], arrays["offsets"])
        return cls(sp.csr_array(parts, shape=(len(labels), len(weights))), weights, labels)


def _vectors(closures: Sequence[Ints], weights: Floats32) -> sp.csr_array:
    """Return (n, n_terms): the weights of each patient's terms, scaled to length one."""
    terms = np.concatenate([*closures, np.zeros(0, dtype=np.int64)]).astype(np.int64)
    offsets = np.cumsum([0, *(len(closure) for closure in closures)])
    values = weights[terms]
    rows = np.repeat(np.arange(len(closures)), np.diff(offsets))
    lengths = np.sqrt(np.bincount(rows, values.astype(np.float64) ** 2, minlength=len(closures)))
    scaled = (values / np.maximum(lengths, 1e-6)[rows]).astype(np.float32)
    return sp.csr_array((scaled, terms, offsets), shape=(len(closures), len(weights)))
