"""Training patients recombined from the findings of the patients of one disease.

A recombined patient has as many findings as one of the patients, drawn from the findings of all of
them and from the annotations of the disease. The only patient of a disease is recombined with its
annotations. Drawn findings can be left out or made broader, as in `renderings`. All else comes from
one of the patients, the original, whose group the new one joins: of cross-fitted teachers, one that
has not seen that group ranks it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice

import numpy as np

from mint_ray.cases.patients.renderings import current_terms, observed_findings, vary
from mint_ray.cases.schema import RECOMBINED, SEXES, Case
from mint_ray.common.seeds import stable_seed
from mint_ray.config.cases import RecombinedRenderingConfig
from mint_ray.knowledge.annotations import Annotation, Annotations
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import Ontology

_GENITAL = "HP:0000078"  # findings below it are drawn from patients of the same sex
_DRAWS = 4  # draws of a patient before it is given up, because its findings are those of another


def recombine_cases(
    cases: Sequence[Case],
    catalogue: Catalogue,
    annotations: Annotations,
    ontology: Ontology,
    per_disease: int,
    annotation_share: float,
    rendering: RecombinedRenderingConfig,
    seed: int,
) -> list[Case]:
    """Return new training cases of every disease with training patients, `<case id>#mix1`, ...

    Cases with a given note, without findings, or without a label of the catalogue are not
    recombined, nor is the only patient of a disease without annotations or with a share of 0. A
    disease has fewer new patients where draws repeat the findings of a patient.

    Args:
        cases: all cases that were read, with their `split`; not changed.
        catalogue: the labels.
        annotations: must lack those that are known only from evaluated publications.
        ontology: resolves the findings.
        per_disease: number of new patients of a disease.
        annotation_share: share of a patient's findings that come from the annotations.
        rendering: probabilities that a drawn finding is left out, or made broader.
        seed: of the draws, which depend on it and on the patients of the disease.
    """
    patients: dict[int, list[Case]] = defaultdict(list)
    for case in cases if per_disease else ():
        index = catalogue.index_of(case["label_id"] or "")
        if case["split"] == "train" and index is not None and not case["note"].strip():
            patients[index].append(case)
    taken = {case["case_id"] for case in cases}
    made = []
    for index, of_disease in sorted(patients.items()):
        label = catalogue.label(index)
        pool = _Pool(of_disease, annotations.of(*label.ids), ontology, annotation_share, rendering)
        if not pool.varies:
            continue
        rng = np.random.default_rng(stable_seed(seed, "recombine", label.label_id))
        for number in range(1, per_disease + 1):
            draws = (pool.draw(number, rng) for _ in range(_DRAWS))
            drawn = next((case for case in draws if case is not None), None)
            if drawn is not None and drawn["case_id"] not in taken:
                made.append(drawn)
    return made


class _Pool:
    """Findings of the patients of one disease, from which new patients are drawn.

    Attributes:
        patients: those with an observed finding.
    """

    def __init__(
        self,
        cases: Iterable[Case],
        annotations: Sequence[Annotation],
        ontology: Ontology,
        annotation_share: float,
        rendering: RecombinedRenderingConfig,
    ) -> None:
        self._ontology, self._share, self._rendering = ontology, annotation_share, rendering
        found = [(case, observed_findings(case, ontology)) for case in cases]
        self.patients = [(case, observed) for case, observed in found if observed]
        excluded = [current_terms(case["excluded_terms"], ontology) for case, _ in self.patients]
        sexes = [case["sex"] for case, _ in self.patients]
        self._observed, self._excluded = (
            {sex: self._count(lists, sexes, sex) for sex in (*SEXES, "unknown")}
            for lists in ([observed for _, observed in self.patients], excluded)
        )
        self._annotations = [
            a for a in annotations if not a.excluded and ontology.is_phenotype(a.term)
        ]
        self._known = {frozenset(observed) for _, observed in self.patients}

    @property
    def varies(self) -> bool:
        """Return whether a draw can differ from every patient."""
        annotated = bool(self._annotations) and self._share > 0
        return len(self.patients) > 1 or (bool(self.patients) and annotated)

    def draw(self, number: int, rng: np.random.Generator) -> Case | None:
        """Draw a patient; None if another one has the same observed findings."""
        original, _ = self.patients[int(rng.integers(len(self.patients)))]
        record, findings = self.patients[int(rng.integers(len(self.patients)))]
        sex = original["sex"]
        annotated = {
            a.term: a.frequency for a in self._annotations if _may_have(sex, a.sex or "unknown")
        }
        n_annotated = int(rng.binomial(len(findings), self._share))
        drawn = chain(
            islice(_in_random_order(annotated, rng), n_annotated),
            _in_random_order(self._observed[sex], rng),
        )
        observed = self._unrelated(drawn, len(findings))
        if self._rendering.changes:
            varied = vary(observed, self._ontology, self._rendering, rng)
            observed = self._unrelated(varied, len(varied))
        if not observed or frozenset(observed) in self._known:
            return None
        self._known.add(frozenset(observed))
        implied = frozenset[str]().union(*map(self._ontology.ancestors, observed))
        absent = (t for t in _in_random_order(self._excluded[sex], rng) if t not in implied)
        made: Case = {**original, "case_id": f"{original['case_id']}#mix{number}"}
        made["source"], made["description"], made["image"] = RECOMBINED, "", None
        made["terms"], made["face_terms"] = observed, []
        made["excluded_terms"] = list(islice(absent, len(record["excluded_terms"])))
        return made

    def _count(self, lists: Iterable[list[str]], sexes: Iterable[str], sex: str) -> Counter[str]:
        """Return how many patients have each finding that a patient of a sex may have."""
        return Counter(
            term
            for terms, other in zip(lists, sexes, strict=True)
            for term in terms
            if _may_have(sex, other) or _GENITAL not in self._ontology.ancestors(term)
        )

    def _unrelated(self, terms: Iterable[str], count: int) -> list[str]:
        """Return the first terms of which none is another or its ancestor, `count` at most.

        A patient's record seldom has a finding beside a broader term for it; a pool has.
        """
        taken: list[str] = []
        for term in terms:
            lineage = self._ontology.ancestors(term)
            if not any(t in lineage or term in self._ontology.ancestors(t) for t in taken):
                taken.append(term)
            if len(taken) == count:
                break
        return taken


def _in_random_order(frequencies: Mapping[str, float], rng: np.random.Generator) -> list[str]:
    """Return the terms in a random order in which frequent ones come early.

    They are sorted by u / frequency, with u uniform, as `PatientSimulator` does: if as many are
    taken as a patient has on average, each is among them about as often as its frequency says.
    """
    terms = sorted(frequencies)
    rarity = rng.random(len(terms)) / [frequencies[term] for term in terms]
    return [terms[place] for place in np.argsort(rarity)]


def _may_have(sex: str, other: str) -> bool:
    """Return whether a patient of a sex may have what goes with another; either may be unknown."""
    return "unknown" in (sex, other) or sex == other
