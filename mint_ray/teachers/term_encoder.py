"""Conversion of HPO terms to positions in the ontology, for all teachers that read terms."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mint_ray.knowledge.ontology import Ontology

NO_KNOWN_TERM = "no_known_term"
"""Reason of a row without scores: none of its observed terms is one of the ontology."""


class TermEncoder:
    """Conversion of lists of HPO ids to bags of term indices, with or without ancestors."""

    def __init__(self, ontology: Ontology) -> None:
        self._ontology = ontology
        self._closures: dict[str, NDArray[np.int64]] = {}

    def closure(self, terms: Iterable[str]) -> NDArray[np.int64]:
        """Return indices of the terms and all their ancestors, sorted; skip unknown ids."""
        closures = [self._closure(term) for term in terms if term in self._ontology.index]
        return np.unique(np.concatenate(closures)) if closures else np.zeros(0, dtype=np.int64)

    def plain(self, terms: Iterable[str]) -> NDArray[np.int64]:
        """Return indices of the terms without ancestors, sorted; skip unknown ids."""
        index = self._ontology.index
        return np.array(sorted({index[t] for t in terms if t in index}), dtype=np.int64)

    def _closure(self, term: str) -> NDArray[np.int64]:
        if term not in self._closures:
            above = self._ontology.ancestors(term)
            self._closures[term] = np.array([self._ontology.index[t] for t in above])
        return self._closures[term]


def no_known_term(column: Iterable[Iterable[str] | None], encoder: TermEncoder) -> list[str]:
    """Return per row of a column of observed terms `no_known_term`, or "" if one is known."""
    known = (len(encoder.plain(terms or ())) > 0 for terms in column)
    return ["" if has else NO_KNOWN_TERM for has in known]
