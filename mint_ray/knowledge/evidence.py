"""Evidence for and against a disease: a patient's findings compared with annotations.

Terms are compared along the ontology: a finding implies all of its more general terms. The weight
of a match is the annotation's frequency times the information content of the more general of the
two terms, that is −ln of the share of annotated diseases that have it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mint_ray.knowledge.annotations import Annotation, Annotations
from mint_ray.knowledge.ontology import Ontology

COMMON = 0.5
"""Frequency from which a finding is expected in a patient."""
RARE = 0.05
"""Greatest frequency of an annotated finding whose absence does not contradict the disease."""

Match = Literal["exact", "more_specific", "more_general"]


@dataclass(frozen=True)
class Evidence:
    """One finding for or against a disease.

    `finding` is the patient's term, None for a missing finding; `annotated` is the disease's
    term. `match` describes the finding in comparison with the annotation. `frequency` is the
    share of patients with the disease who have the annotated term, 0 if the disease excludes it.
    `weight` is in nats.
    """

    finding: str | None
    annotated: str
    match: Match
    frequency: float
    weight: float


@dataclass(frozen=True)
class Explanation:
    """Findings for and against one disease, heaviest first."""

    supports: tuple[Evidence, ...]
    missing: tuple[Evidence, ...]
    """Common in the disease, but neither observed nor excluded in the patient."""
    contradicts: tuple[Evidence, ...]
    """Excluded in the patient but not rare in the disease, or observed but excluded in it."""
    unexplained: tuple[str, ...]
    """Findings that no annotation of the disease matches, in the order given."""


class Explainer:
    """A comparison of patients' findings with the annotations of diseases.

    Args:
        ontology: terms and their hierarchy.
        annotations: annotations of the diseases to explain; the information content is counted
            over all of their diseases.
    """

    def __init__(self, ontology: Ontology, annotations: Annotations) -> None:
        self._ontology, self._annotations = ontology, annotations
        self._content = information_content(ontology, annotations)
        # A term that no disease has is taken to be as informative as the rarest.
        self._highest_content = max(self._content.values(), default=0.0)

    def explain(
        self, disease_ids: Sequence[str], present: Iterable[str], excluded: Iterable[str] = ()
    ) -> Explanation:
        """Weigh a patient's findings for and against one disease.

        Args:
            disease_ids: ids of one catalogue entry, taken as one disease.
            present: current HP ids, as `Ontology.resolve` returns them.
            excluded: current HP ids of findings that were looked for and are absent.
        """
        known = self._annotations.of(*disease_ids)
        observed, absent = list(dict.fromkeys(present)), list(dict.fromkeys(excluded))
        best = {term: self._best(term, known) for term in observed}
        supports = [evidence for evidence in best.values() if evidence is not None]
        contradicts = [*self._denied(absent, known), *self._impossible(observed, known)]
        excluded_here = {item.finding for item in contradicts}
        return Explanation(
            _heaviest(item for item in supports if item.finding not in excluded_here),
            _heaviest(self._missing(observed, absent, known)),
            _heaviest(contradicts),
            tuple(t for t, item in best.items() if item is None and t not in excluded_here),
        )

    def _best(self, finding: str, known: Iterable[Annotation]) -> Evidence | None:
        """Return the heaviest annotation that is the finding, an ancestor or a descendant.

        Among equally heavy ones, the finding itself comes first.
        """
        matches = [
            Evidence(finding, a.term, match, a.frequency, a.frequency * self._shared(finding, a))
            for a in known
            if not a.excluded and (match := self._match(finding, a.term)) is not None
        ]
        matches = [item for item in matches if item.weight > 0]
        return max(
            matches,
            key=lambda item: (item.weight, item.match == "exact", item.annotated),
            default=None,
        )

    def _match(self, finding: str, annotated: str) -> Match | None:
        if finding == annotated:
            return "exact"
        if annotated in self._ontology.ancestors(finding):
            return "more_specific"
        return "more_general" if finding in self._ontology.ancestors(annotated) else None

    def _shared(self, finding: str, annotation: Annotation) -> float:
        """Return the information content of the more general of the two terms."""
        return min(self._content_of(finding), self._content_of(annotation.term))

    def _content_of(self, term: str) -> float:
        return self._content.get(term, self._highest_content)

    def _missing(
        self, observed: list[str], absent: list[str], known: Iterable[Annotation]
    ) -> Iterable[Evidence]:
        implied = {term for finding in observed for term in self._ontology.ancestors(finding)}
        for a in known:
            denied = any(term in self._ontology.ancestors(a.term) for term in absent)
            if a.frequency >= COMMON and a.term not in implied and not denied:
                weight = a.frequency * self._content_of(a.term)
                yield Evidence(None, a.term, "exact", a.frequency, weight)

    def _denied(self, absent: list[str], known: Sequence[Annotation]) -> Iterable[Evidence]:
        """Yield excluded findings that the disease usually shows: the term or a special case."""
        for term in absent:
            below = [a for a in known if a.frequency > RARE and term in self._lineage(a)]
            if below:
                a = max(below, key=lambda item: (item.frequency, item.term == term, item.term))
                match: Match = "exact" if a.term == term else "more_general"
                weight = a.frequency * self._content_of(term)
                yield Evidence(term, a.term, match, a.frequency, weight)

    def _impossible(self, observed: list[str], known: Sequence[Annotation]) -> Iterable[Evidence]:
        """Yield observed findings that are known to be absent in the disease."""
        for term in observed:
            for a in known:
                if a.excluded and a.term in self._ontology.ancestors(term):
                    match: Match = "exact" if a.term == term else "more_specific"
                    yield Evidence(term, a.term, match, 0.0, self._content_of(a.term))
                    break

    def _lineage(self, annotation: Annotation) -> frozenset[str]:
        return self._ontology.ancestors(annotation.term)


def information_content(ontology: Ontology, annotations: Annotations) -> Mapping[str, float]:
    """Return term -> −ln of the share of diseases with the term or a special case, in nats."""
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
