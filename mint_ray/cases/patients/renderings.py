"""Renderings of training patients: the same patient as another examiner might have recorded it.

A rendering has the findings in another order, some of them dropped and some as a broader term, and
so another note. It shares group, split and answer with its original.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from mint_ray.cases.schema import RENDERING, Case
from mint_ray.common.seeds import stable_seed
from mint_ray.config.cases import RenderingConfig
from mint_ray.knowledge.ontology import Ontology

FEWEST_FINDINGS = 2
"""Number of observed findings that a rendering keeps where its original has so many."""


def render_cases(
    cases: Sequence[Case], ontology: Ontology, config: RenderingConfig, n: int, seed: int
) -> list[Case]:
    """Return the renderings 2 to n of the training cases, with the ids `<case id>#r2`, ...

    Cases without observed findings and those with a given note have none: there would be nothing
    to vary, or the student would read the same note again. An image that is given is kept.

    Args:
        cases: all cases that were read, with their `split`; not changed.
        ontology: resolves the findings, and has the broader terms.
        config: probabilities of the changes.
        n: number of renderings of a case, the original included.
        seed: of the draws, which depend on it and on the case's id alone.
    """
    taken = {case["case_id"] for case in cases}
    made = []
    for case in cases:
        observed = observed_findings(case, ontology)
        if case["split"] != "train" or case["note"].strip() or not observed:
            continue
        for number in range(2, n + 1):
            case_id = f"{case['case_id']}#r{number}"
            rng = np.random.default_rng(stable_seed(seed, "rendering", case_id))
            if case_id not in taken:
                made.append(_render(case, case_id, vary(observed, ontology, config, rng)))
    return made


def vary(
    observed: Sequence[str], ontology: Ontology, config: RenderingConfig, rng: np.random.Generator
) -> list[str]:
    """Return findings in a random order, some dropped, some as one of their parents."""
    shuffled = [observed[place] for place in rng.permutation(len(observed))]
    stays = rng.random(len(shuffled)) >= config.drop
    stays[np.flatnonzero(~stays)[: max(0, FEWEST_FINDINGS - int(stays.sum()))]] = True
    kept = [term for term, stay in zip(shuffled, stays, strict=True) if stay]
    broad = (
        broader_term(term, ontology, rng) if rng.random() < config.broaden else term
        for term in kept
    )
    varied = list(dict.fromkeys(broad))
    # Two findings may have become the same broader one.
    return varied if len(varied) >= min(FEWEST_FINDINGS, len(kept)) else kept


def broader_term(term: str, ontology: Ontology, rng: np.random.Generator) -> str:
    """Return a random parent of a term below "Phenotypic abnormality", or the term without one."""
    parents = [p for p in ontology.parents(term) if ontology.is_phenotype(p)]
    return parents[int(rng.integers(len(parents)))] if parents else term


def observed_findings(case: Case, ontology: Ontology) -> list[str]:
    """Return the current ids of a case's observed findings, of the note or the face, each once."""
    return current_terms([*case["terms"], *case["face_terms"]], ontology)


def current_terms(terms: Iterable[str], ontology: Ontology) -> list[str]:
    """Return the current ids of terms, each once; unknown ones are left out."""
    resolved = map(ontology.resolve, terms)
    return list(dict.fromkeys(term for term in resolved if term is not None))


def _render(case: Case, case_id: str, terms: list[str]) -> Case:
    # What a given image shows stays as it is; a face that is drawn shows the varied findings.
    drawn = case["image"] is None
    face_terms = [t for t in case["face_terms"] if t in terms] if drawn else case["face_terms"]
    made: Case = {**case, "case_id": case_id, "source": RENDERING}
    made["terms"], made["face_terms"] = terms, face_terms
    return made
