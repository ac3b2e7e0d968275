"""Match of a patient's terms to the names of labels, for labels without annotations."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import scipy.sparse as sp

from mint_ray.common.arrays import Floats32, Ints
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.names import name_stem
from mint_ray.knowledge.ontology import Ontology
from mint_ray.teachers.term_patients import TermPatients

STEM_LETTERS = 7
"""Words count as the same if their first letters agree."""
WORDS_OF_NAMES = frozenset(
    [
        *("and", "with", "without", "the", "due", "type", "syndrome", "disorder", "disease"),
        *("deficiency", "abnormality", "abnormal", "autosomal", "dominant", "recessive", "linked"),
    ]
)
"""Words of disease and term names that say nothing about the patient."""


class NameMatch:
    """Words that a patient's terms share with the names of labels.

    A disease's name often states its main findings ("... with seizures and cataract"). The match
    is the cosine of the words, weighted by how few names have them, with the words of the
    patient's terms and their synonyms, plus the same with the words of all terms above.

    Args:
        catalogue: the labels.
        ontology: of the terms.
    """

    def __init__(self, catalogue: Catalogue, ontology: Ontology) -> None:
        names = [_stems([label.name]) for label in catalogue.labels]
        vocabulary = {word: i for i, word in enumerate(sorted(set().union(*names)))}
        counts = np.zeros(len(vocabulary))
        for words in names:
            counts[[vocabulary[word] for word in words]] += 1
        self._weights = np.log((len(names) + 1) / (counts + 1)).astype(np.float32)
        self._labels = _normalised(_matrix(names, vocabulary), self._weights).T.tocsr()
        own = [_stems([ontology.name(term)]) for term in ontology.ids]
        wider = [_stems([ontology.name(t), *ontology.synonyms(t)]) for t in ontology.ids]
        self._names, self._synonyms = _matrix(own, vocabulary), _matrix(wider, vocabulary)

    def score(self, patients: TermPatients) -> Floats32:
        """Return (n, n_labels) in [0, 2]."""
        bags = patients.observed @ self._synonyms, patients.closures @ self._names
        cosines = (_normalised(words, self._weights) @ self._labels for words in bags)
        total: Floats32 = sum(cosines).toarray().astype(np.float32)
        return total


def name_families(catalogue: Catalogue) -> Ints:
    """Return (n_labels,) the number of each label's family.

    Labels whose names differ by the numbers and letters at the end only are a family, such as
    "Usher syndrome, type 1B" and "Usher syndrome, type 2A".
    """
    stems = [name_stem(label.name) for label in catalogue.labels]
    families: Ints = np.unique(stems, return_inverse=True)[1].astype(np.int64)
    return families


def _stems(names: Iterable[str]) -> set[str]:
    words = {word for name in names for word in re.findall(r"[a-z]{3,}", name.lower())}
    return {word[:STEM_LETTERS] for word in words - WORDS_OF_NAMES}


def _matrix(rows: Sequence[set[str]], vocabulary: dict[str, int]) -> sp.csr_array:
    known = [sorted(vocabulary[word] for word in row if word in vocabulary) for row in rows]
    indices = np.fromiter((index for row in known for index in row), dtype=np.int64)
    offsets = np.cumsum([0, *(len(row) for row in known)])
    ones = np.ones(len(indices), dtype=np.float32)
    return sp.csr_array((ones, indices, offsets), shape=(len(rows), len(vocabulary)))


def _normalised(words: sp.csr_array, weights: Floats32) -> sp.csr_array:
    """Return the weights of each row's words, scaled to length one; a word counts once."""
    rows = sp.csr_array(words)
    values = weights[rows.indices]
    numbers = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    lengths = np.sqrt(np.bincount(numbers, values.astype(np.float64) ** 2, minlength=rows.shape[0]))
    scaled = (values / np.maximum(lengths, 1e-6)[numbers]).astype(np.float32)
    return sp.csr_array((scaled, rows.indices, rows.indptr), shape=rows.shape)
