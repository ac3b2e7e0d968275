"""Grounding of free-text names: diseases in a catalogue or the annotations, findings in the HPO."""

from functools import lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa

from mint_ray.knowledge.annotation_files import load_disease_table
from mint_ray.knowledge.names import normalise
from mint_ray.knowledge.release import PACKAGED, Release

if TYPE_CHECKING:
    from mint_ray.knowledge.catalogue import Catalogue
    from mint_ray.knowledge.ontology import Ontology


class Grounder:
    """Lookup of the label that a name means, by exact normalised spelling."""

    def __init__(self, catalogue: "Catalogue") -> None:
        names: dict[str, str | None] = {}
        synonyms: dict[str, str | None] = {}
        for label in catalogue.labels:
            _enter(names, label.name, label.label_id)
            for synonym in label.synonyms:
                _enter(synonyms, synonym, label.label_id)
        # A name outranks the same string as another label's synonym.
        self._labels: dict[str, str | None] = synonyms | names
        self._labels.pop("", None)

    def ground(self, text: str) -> str | None:
        """Return the `label_id` of the label with this name, else of the only one with the synonym.

        Return None if there is no match, or if several labels share the synonym.
        """
        return self._labels.get(normalise(text))


def _enter(table: dict[str, str | None], text: str, label_id: str) -> None:
    key = normalise(text)
    table[key] = label_id if table.get(key, label_id) == label_id else None


class TermNames:
    """Lookup of the HPO term that a name means, by exact normalised spelling or its plural."""

    def __init__(self, ontology: "Ontology") -> None:
        names: dict[str, str | None] = {}
        synonyms: dict[str, str | None] = {}
        plurals: dict[str, str | None] = {}
        for term in ontology.ids:
            _enter(names, ontology.name(term), term)
            _enter(plurals, f"{ontology.name(term)}s", term)
            for synonym in ontology.synonyms(term):
                _enter(synonyms, synonym, term)
        self._terms: dict[str, str | None] = plurals | synonyms | names
        self._terms.pop("", None)

    def ground(self, text: str) -> str | None:
        """Return the id of the term with this name, else of the only one with the exact synonym."""
        return self._terms.get(normalise(text))


@lru_cache(maxsize=2)
def term_names(ontology: "Ontology") -> TermNames:
    """Return the names of an ontology's terms, indexed once per process."""
    return TermNames(ontology)


class DiseaseNames:
    """Lookup of the annotated disease that a name means, by exact normalised spelling.

    Args:
        diseases: the table of `annotation_files.load_disease_table`.
        namespace: id prefix of the diseases to find, such as "OMIM".
    """

    def __init__(self, diseases: pa.Table, namespace: str) -> None:
        names: dict[str, str | None] = {}
        synonyms: dict[str, str | None] = {}
        for row in diseases.to_pylist():
            if not row["id"].startswith(f"{namespace}:"):
                continue
            # OMIM titles join the name and its alternatives by semicolons.
            name, *others = row["name"].split(";")
            _enter(names, name, row["id"])
            for other in (*others, *";".join(row["other_names"]).split(";")):
                _enter(synonyms, other, row["id"])
        self._diseases: dict[str, str | None] = synonyms | names
        self._diseases.pop("", None)
        self._ids = frozenset(diseases["id"].to_pylist())
        self._genes = {gene for genes in diseases["genes"].to_pylist() for gene in genes}

    def ground(self, text: str) -> str | None:
        """Return the id of the disease with this name, else of the only one with the synonym.

        Some abbreviations of diseases are the symbols of their genes too: a symbol means the gene.
        """
        return None if self.is_gene(text) else self._diseases.get(normalise(text))

    def is_gene(self, text: str) -> bool:
        """Return whether a text is the symbol of an annotated gene."""
        return text.strip() in self._genes

    def is_gene_entry(self, disease_id: str, name: str) -> bool:
        """Return whether an id is that of a gene, whose symbol stands as its name.

        OMIM numbers genes and diseases alike, and only the diseases are annotated.
        """
        return self.is_gene(name) and disease_id not in self._ids


@lru_cache(maxsize=8)
def disease_names(namespace: str, release: Release = PACKAGED) -> DiseaseNames:
    """Return the names of the annotated diseases of a namespace, indexed once per process."""
    return DiseaseNames(load_disease_table(release), namespace)
