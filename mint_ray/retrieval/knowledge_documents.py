"""Documents of diseases and genes, written from the annotations.

The files of the Human Phenotype Ontology project define findings, not diseases: a document has no
definition. A user's own documents can bring one.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from mint_ray.knowledge.annotations import (
    Annotation,
    Annotations,
    PooledLines,
    load_annotations,
    load_courses,
)
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.names import normalise
from mint_ray.knowledge.ontology import Ontology, load_ontology
from mint_ray.knowledge.release import PACKAGED, Release
from mint_ray.retrieval.documents import Document

FREQUENCY_WORDS = ((0.8, "Very frequent"), (0.3, "Frequent"), (0.05, "Occasional"), (0.0, "Rare"))
"""Least frequency of each group of findings, after the ontology's terms of frequency."""

_INHERITANCE, _ONSET = "HP:0000005", "HP:0003674"


@dataclass(frozen=True)
class Knowledge:
    """All that documents are written from.

    Attributes:
        ontology: names of findings.
        annotations: findings, names and genes of the diseases.
        courses: HP ids of inheritance and clinical course by disease id.
    """

    ontology: Ontology
    annotations: Annotations
    courses: Mapping[str, Sequence[str]]

    @classmethod
    def load(
        cls,
        exclude_publications: frozenset[str] = frozenset(),
        release: Release = PACKAGED,
        pooled: PooledLines = "keep",
    ) -> Self:
        """Load a release without what rests on the given publications; see `load_annotations`.

        Which gene belongs to which disease is kept: the files do not say from which publication
        it is known.

        Raises:
            DataError: a file is absent or damaged, or the release has changed.
        """
        return cls(
            load_ontology(release),
            load_annotations(exclude_publications, release, pooled),
            load_courses(exclude_publications, release, pooled),
        )


def disease_documents(catalogue: Catalogue, knowledge: Knowledge) -> Iterator[Document]:
    """Yield one document for each disease of a catalogue, also for one without findings."""
    for label in catalogue.labels:
        lines = [
            _line("Also called", label.synonyms, "; "),
            *_course_lines(label.ids, knowledge),
            _line("Genes", label.genes),
            *_finding_lines(knowledge.annotations.of(*label.ids), knowledge.ontology),
        ]
        yield Document(label.label_id, "disease", label.name, "\n".join(filter(None, lines)))


def gene_documents(genes: Catalogue, knowledge: Knowledge) -> Iterator[Document]:
    """Yield one document for each gene of a catalogue, from the diseases that it causes.

    Findings of several diseases are pooled as if they were one disease.
    """
    diseases: dict[str, list[str]] = defaultdict(list)
    for disease, symbols in knowledge.annotations.genes.items():
        for symbol in symbols:
            diseases[symbol].append(disease)
    for gene in genes.labels:
        ids = sorted(diseases[gene.name])
        names = _distinct(knowledge.annotations.diseases.get(i, "") for i in ids)
        lines = [
            _line("Also called", gene.synonyms),
            _line("Diseases", names, "; "),
            *_course_lines(ids, knowledge),
            *_finding_lines(knowledge.annotations.of(*ids), knowledge.ontology),
        ]
        yield Document(gene.label_id, "gene", gene.name, "\n".join(filter(None, lines)))


def _course_lines(ids: Iterable[str], knowledge: Knowledge) -> list[str]:
    ontology = knowledge.ontology
    terms = sorted({term for disease in ids for term in knowledge.courses.get(disease, ())})
    by_title: dict[str, list[str]] = {"Inheritance": [], "Onset": [], "Course": []}
    for term in terms:
        above = ontology.ancestors(term)
        title = "Inheritance" if _INHERITANCE in above else "Onset" if _ONSET in above else "Course"
        by_title[title].append(ontology.name(term))
    return [_line(title, names) for title, names in by_title.items()]


def _finding_lines(annotations: Iterable[Annotation], ontology: Ontology) -> list[str]:
    """Return a line for each group of frequency, the most frequent findings first."""
    groups: dict[str, list[str]] = {word: [] for _, word in FREQUENCY_WORDS}
    absent = []
    for known in sorted(annotations, key=lambda a: (-a.frequency, ontology.name(a.term))):
        name = ontology.name(known.term) + (f" ({known.sex}s)" if known.sex else "")
        if known.excluded:
            absent.append(name)
        else:
            groups[next(w for least, w in FREQUENCY_WORDS if known.frequency >= least)].append(name)
    lines = [_line(f"{word} findings", names) for word, names in groups.items()]
    return [*lines, _line("Not seen", absent)]


def _line(title: str, items: Sequence[str], separator: str = ", ") -> str:
    return f"{title}: {separator.join(items)}." if items else ""


def _distinct(names: Iterable[str]) -> list[str]:
    """Return the first name of each normalised spelling that is not empty."""
    by_spelling: dict[str, str] = {}
    for name in names:
        by_spelling.setdefault(normalise(name), name)
    return [name for spelling, name in by_spelling.items() if spelling]
