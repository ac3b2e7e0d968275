"""HPO terms of a case, read from ids and names as people write them."""

import re
from collections import Counter
from collections.abc import Iterable

from mint_ray.cases.demographics import UNSTATED
from mint_ray.knowledge.grounding import term_names
from mint_ray.knowledge.ids import is_short_term_id, read_term_id
from mint_ray.knowledge.ontology import Ontology

_BORDERS = re.compile(r"[;|\n\t]+")
_INNER_ID = re.compile(r"(?<![A-Za-z0-9])(?:HPO?)[:_ ]?\s?\d{1,7}(?!\d)", re.IGNORECASE | re.ASCII)
_BETWEEN = " +&/"  # what may stand between the ids of a list, without a name
_OPENING, _CLOSING = " :([", " :)],;."  # what may stand before an id, and behind it


class TermReader:
    """Reader of ids and names of findings, which counts what it changes and drops.

    Counts: `mapped_terms` (retired ids), `grounded_terms` (names), `unknown_terms` and
    `non_phenotype_terms` (both dropped), `repeated_terms`, `conflicting_terms` (observed and
    excluded: observed counts).

    Args:
        ontology: resolves retired ids and recognises those that are not phenotypes.
        counts: receives the counts.
    """

    def __init__(self, ontology: Ontology, counts: Counter[str]) -> None:
        self._ontology, self._counts = ontology, counts

    def read(self, written: str, label: str = "") -> str | None:
        """Return the current id of a phenotypic abnormality, or None after counting why not.

        A name is looked up where the text is not an id. An id without its leading zeros is not
        believed where its label names another term.

        Args:
            written: id or name.
            label: name that stands beside the id, if any.
        """
        term = self._resolve(written or label, label if written else "")
        if term is None:
            self._counts["unknown_terms"] += 1
            return None
        if not self._ontology.is_phenotype(term):
            self._counts["non_phenotype_terms"] += 1
            return None
        return term

    def read_cells(self, cells: Iterable[str | None]) -> list[str]:
        """Return the terms of a table's cells, each once; a cell may list several."""
        terms: dict[str, None] = {}
        for cell in cells:
            for written in self._split(cell or ""):
                term = self.read(written)
                if term is not None:
                    self.add(terms, term)
        return list(terms)

    def add(self, terms: dict[str, None], term: str) -> None:
        """Enter a term into an ordered set; count it where it is there already."""
        self._counts["repeated_terms"] += term in terms
        terms[term] = None

    def without_observed(self, excluded: Iterable[str], observed: Iterable[str]) -> list[str]:
        """Return the excluded terms that are not also observed; count the others."""
        present, absent = set(observed), list(excluded)
        kept = [term for term in absent if term not in present]
        self._counts["conflicting_terms"] += len(absent) - len(kept)
        return kept

    def _resolve(self, written: str, label: str) -> str | None:
        term_id = read_term_id(written)
        if term_id is not None:
            term = self._ontology.resolve(term_id)
            named = self._ground(label) if label and is_short_term_id(written) else None
            if named not in (None, term):
                return None
            self._counts["mapped_terms"] += term not in (None, term_id)
            return term
        term = self._ground(written) or self._labelled_id(written)
        self._counts["grounded_terms"] += term is not None
        return term

    def _labelled_id(self, written: str) -> str | None:
        """Return the term of "HP:0001250 Seizure" if id and name say the same."""
        ids = _INNER_ID.findall(written)
        if len(ids) != 1:
            return None
        before, after = (part.strip() for part in written.split(ids[0]))
        has_name_on_one_side = not before.strip(_OPENING) or not after.strip(_CLOSING)
        name = before if before.strip(_OPENING) else after
        term = self._ontology.resolve(read_term_id(ids[0]) or "")
        # A name that is denied ("no seizure") is no name of a term.
        named = self._ground(name) if has_name_on_one_side else None
        return term if term is not None and named == term else None

    def _ground(self, name: str) -> str | None:
        return term_names(self._ontology).ground(name)

    def _split(self, cell: str) -> list[str]:
        parts = (part.strip(" \"'") for part in _BORDERS.split(cell.strip().strip("[]{}")))
        return [item for part in parts for item in self._split_part(part)]

    def _split_part(self, part: str) -> list[str]:
        if part.lower() in UNSTATED:
            return []
        if read_term_id(part) is None and self._ground(part) is None:
            ids = _INNER_ID.findall(part)
            if "," in part:
                pieces = [piece.strip(" \"'") for piece in part.split(",")]
                return [piece for piece in pieces if piece.lower() not in UNSTATED]
            if len(ids) > 1 and not _INNER_ID.sub("", part).strip(_BETWEEN):
                return list(ids)
        return [part]
