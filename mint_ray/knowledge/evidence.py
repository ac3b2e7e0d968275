"""Why a disease fits a patient, and why not: findings against annotations.

Terms are compared along the ontology: a finding is what it says and all that is more general. A
match weighs the annotation's frequency times the information content of what both share, that is
−ln of the share of annotated diseases that have it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mint_ray.knowledge.annotations import Annotation, Annotations
from mint_ray.knowledge.ontology import Ontology

COMMON = 0.5
"""Frequency from which on a finding is expected."""
RARE = 0.05
"""Frequency up to which an annotated finding contradicts nothing."""

Match = Literal["exact", "more_specific", "more_general"]


@dataclass(frozen=True)
class Evidence:
    """One finding for or against a disease.

    `finding` is the patient's term, None where it is missing; `annotated` the disease's; `match`
    says what the finding is beside the annotation; `frequency` is the share of patients with
    the disease who have it, 0 where the disease excludes it; `weight` in nats.
    """

    finding: str | None
    annotated: str
    match: Match
    frequency: float
    weight: float


@dataclass(frozen=True)
class Explanation:
    """Findings by what they say of one disease, heaviest first."""

    supports: tuple[Evidence, ...]
    missing: tuple[Evidence, ...]
    """Common in the disease, neither found nor excluded in the patient."""
    contradicts: tuple[Evidence, ...]
    """Excluded in the patient but usual in the disease, or found but excluded in the disease."""
    unexplained: tuple[str, ...]
    """Findings that no annotation of the disease meets, in the order given."""


class Explainer:
    """Explains diseases by their annotations.

    Args:
        ontology: terms.
        annotations: of the diseases that will be asked about, and of those that the information
            content is counted over.
    """

    def __init__(self, ontology: Ontology, annotations: Annotations) -> None:
        self._ontology, self._annotations = ontology, annotations
        self._content = information_content(ontology, annotations)
        # Of a term that no disease has.
        self._most = max(self._content.values(), default=0.0)

    def explain(
        self, disease_ids: Sequence[str], present: Iterable[str], excluded: Iterable[str] = ()
    ) -> Explanation:
        """Weigh a patient's findings.

        Args:
            disease_ids: ids of one catalogue entry, taken as one disease.
            present: current HP ids; `Ontology.resolve` gives them.
            excluded: likewise, of findings that were looked for and are absent.
        """
        known = self._annotations.of(*disease_ids)
        found, absent = list(dict.fromkeys(present)), list(dict.fromkeys(excluded))
        best = {term: self._best(term, known) for term in found}
        supports = [evidence for evidence in best.values() if evidence is not None]
        contradicts = [*self._denied(absent, known), *self._impossible(found, known)]
        excluded_here = {item.finding for item in contradicts}
        return Explanation(
            _heaviest(item for item in supports if item.finding not in excluded_here),
            _heaviest(self._missing(found, absent, known)),
            _heaviest(contradicts),
            tuple(t for t, item in best.items() if item is None and t not in excluded_here),
        )

    def _best(self, finding: str, known: Iterable[Annotation]) -> Evidence | None:
        """The heaviest annotation on the same line of the ontology as a finding."""
        met = [
            Evidence(finding, a.term, match, a.frequency, a.frequency * self._shared(finding, a))
            for a in known
            if not a.excluded and (match := self._match(finding, a.term)) is not None
        ]
        met = [item for item in met if item.weight > 0]
        return max(met, key=lambda item: (item.weight, item.annotated), default=None)

    def _match(self, finding: str, annotated: str) -> Match | None:
        if finding == annotated:
            return "exact"
        if annotated in self._ontology.ancestors(finding):
            return "more_specific"
        return "more_general" if finding in self._ontology.ancestors(annotated) else None

    def _shared(self, finding: str, annotation: Annotation) -> float:
        """Information content of the more general of the two."""
        return min(self._content_of(finding), self._content_of(annotation.term))

    def _content_of(self, term: str) -> float:
        return self._content.get(term, self._most)

    def _missing(
        self, found: list[str], absent: list[str], known: Iterable[Annotation]
    ) -> Iterable[Evidence]:
        seen = {term for finding in found for term in self._ontology.ancestors(finding)}
        for a in known:
            denied = any(term in self._ontology.ancestors(a.term) for term in absent)
            if a.frequency >= COMMON and a.term not in seen and not denied:
                weight = a.frequency * self._content_of(a.term)
                yield Evidence(None, a.term, "exact", a.frequency, weight)

    def _denied(self, absent: list[str], known: Sequence[Annotation]) -> Iterable[Evidence]:
        """What the disease usually shows and the patient does not: the term or a special case."""
        for term in absent:
            below = [a for a in known if a.frequency > RARE and term in self._lineage(a)]
            if below:
                a = max(below, key=lambda item: (item.frequency, item.term))
                match: Match = "exact" if a.term == term else "more_general"
                weight = a.frequency * self._content_of(term)
                yield Evidence(term, a.term, match, a.frequency, weight)

    def _impossible(self, found: list[str], known: Sequence[Annotation]) -> Iterable[Evidence]:
        """What the patient shows and the disease is known not to."""
        for term in found:
            for a in known:
                if a.excluded and a.term in self._ontology.ancestors(term):
                    match: Match = "exact" if a.term == term else "more_specific"
                    yield Evidence(term, a.term, match, 0.0, self._content_of(a.term))
                    break

    def _lineage(self, annotation: Annotation) -> frozenset[str]:
        return self._ontology.ancestors(annotation.term)


def information_content(ontology: Ontology, annotations: Annotations) -> Mapping[str, float]:
    """−ln of the share of diseases that have a term or a special case of it; in nats."""
    counts: Counter[str] = Counter()
    diseases = 0
    for disease in annotations.diseases:
        terms = [a.term for a in annotations.of(disease) if not a.excluded]
        if terms:
            diseases += 1
            counts.update(frozenset().union(*(ontology.ancestors(term) for term in terms)))
    return {term: -math.log(count / diseases) for term, count in counts.items()}


def _heaviest(items: Iterable[Evidence]) -> tuple[Evidence, ...]:
    return tuple(sorted(items, key=lambda item: (-item.weight, item.annotated)))
