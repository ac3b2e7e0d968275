"""Information that terms and sets of terms share through their ancestors."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mint_ray.common.arrays import Floats32, Ints
from mint_ray.knowledge.ontology import Ontology

PATIENTS_AT_ONCE = 256
"""Number of patients whose terms are matched in one product."""


@dataclass(frozen=True)
class AncestorTable:
    """Ancestors of every term, the term included, as one flat list."""

    indices: Ints
    """(total,) term indices."""
    offsets: Ints
    """(n_terms + 1,) position in `indices` at which each term's ancestors start."""

    @classmethod
    def of_ontology(cls, ontology: Ontology) -> "AncestorTable":
        """List the ancestors of all terms."""
        above = [[ontology.index[a] for a in ontology.ancestors(term)] for term in ontology.ids]
        flat = np.fromiter((index for bag in above for index in bag), dtype=np.int64)
        return cls(flat, np.cumsum([0, *(len(bag) for bag in above)]))

    def of(self, term: int) -> Ints:
        """Return the indices of a term's ancestors, the term included."""
        return self.indices[self.offsets[term] : self.offsets[term + 1]]


def content_in_sets(
    terms: sp.csr_array, sets: sp.csr_array, content: Floats32, table: AncestorTable
) -> Floats32:
    """Return the share of each patient's information that each set explains (Resnik).

    A term shares with a set the information content of the most informative ancestor that is in
    the set (Resnik 1995, https://arxiv.org/abs/cmp-lg/9511007). The sum over a patient's terms is
    divided by the sum of the terms' own content.

    Args:
        terms: (n, n_terms) 1 for each observed term, without ancestors.
        sets: (n_sets, n_terms) whose entries are the closures of the sets.
        content: (n_terms,) information content.
        table: of the ontology.

    Returns:
        (n, n_sets) in [0, 1].
    """
    by_term = sp.csc_array(sets)
    unique, columns = np.unique(terms.indices, return_inverse=True)
    shared = np.zeros((len(unique), sets.shape[0]), dtype=np.float32)
    for row, term in enumerate(unique.tolist()):
        above = table.of(term)
        # In ascending order, so that the most informative ancestor is written last.
        for ancestor in above[np.argsort(content[above], kind="stable")].tolist():
            start, stop = by_term.indptr[ancestor], by_term.indptr[ancestor + 1]
            shared[row, by_term.indices[start:stop]] = content[ancestor]
    chosen = sp.csr_array((terms.data, columns, terms.indptr), shape=(terms.shape[0], len(unique)))
    total: Floats32 = chosen @ shared
    own = chosen @ content[unique]
    total /= np.maximum(own, 1e-6)[:, None]
    return total


def content_in_patients(
    closures: sp.csr_array, weighted: sp.csr_array, content: Floats32, table: AncestorTable
) -> Floats32:
    """Return the share of each set's information that each patient shows.

    The reverse of `content_in_sets`: each term of a set counts with its weight.

    Args:
        closures: (n, n_terms) 1 for each observed term and its ancestors.
        weighted: (n_sets, n_terms) weight of each term of a set, without ancestors.
        content: (n_terms,) information content.
        table: of the ontology.

    Returns:
        (n, n_sets) in [0, 1]; 0 for an empty set.
    """
    terms = np.unique(weighted.indices)
    weights = weighted[:, terms]
    own = np.asarray(weights @ content[terms])
    above = [table.of(term) for term in terms.tolist()]
    starts = np.cumsum([0, *(len(bag) for bag in above)])[:-1]
    flat = np.concatenate([*above, np.zeros(0, dtype=np.int64)]).astype(np.int64)
    result = np.zeros((closures.shape[0], weighted.shape[0]), dtype=np.float32)
    inside = np.zeros(len(content), dtype=np.float32)
    for start in range(0, closures.shape[0], PATIENTS_AT_ONCE):
        part = closures[start : start + PATIENTS_AT_ONCE]
        best = np.zeros((part.shape[0], len(terms)), dtype=np.float32)
        for row in range(part.shape[0] if len(terms) else 0):
            own_terms = part.indices[part.indptr[row] : part.indptr[row + 1]]
            inside[own_terms] = content[own_terms]
            best[row] = np.maximum.reduceat(inside[flat], starts)
            inside[own_terms] = 0.0
        result[start : start + part.shape[0]] = (weights @ best.T).T
    result /= np.maximum(own, 1e-6)[None]
    return result
