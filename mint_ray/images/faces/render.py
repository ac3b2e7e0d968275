"""Schematic faces: a stand-in for photographs of patients, rendered from facial HPO terms."""

from collections.abc import Sequence

import numpy as np

from mint_ray.images.faces.drawing import Face
from mint_ray.images.faces.findings import FACE_FINDINGS, PARAMETERS
from mint_ray.knowledge.ontology import Ontology

__all__ = ["FACE_FINDINGS", "findings_of", "render_face", "rendered_terms"]


def findings_of(term: str, ontology: Ontology) -> list[str]:
    """Return the table terms that `term` counts as: itself, else its ancestors in the table."""
    if term in FACE_FINDINGS:
        return [term]
    if term not in ontology.index:
        return []
    return sorted(ontology.ancestors(term) & FACE_FINDINGS.keys())


def rendered_terms(terms: Sequence[str], ontology: Ontology) -> list[str]:
    """Return the observed terms that the face can show, in their order.

    A term below a term of the table counts as that term. Unknown terms are not shown.
    """
    return [term for term in terms if findings_of(term, ontology)]


def render_face(terms: Sequence[str], ontology: Ontology, seed: int, sex: str) -> bytes:
    """Draw a 112×112 RGB PNG that shows the facial findings among `terms`.

    Anatomy, colours, pose and the strength of each finding vary with `seed`; the same
    arguments give the same pixels. Without facial terms the face is plain.
    """
    rng = np.random.default_rng(seed)
    natural = rng.standard_normal(len(PARAMETERS)).clip(-2.2, 2.2)
    shift = dict(zip(PARAMETERS, natural.tolist(), strict=True))
    findings = sorted({finding for term in terms for finding in findings_of(term, ontology)})
    # The random stream must not depend on the findings, or they would change the whole face.
    strengths = dict(zip(FACE_FINDINGS, rng.uniform(0.85, 1.2, len(FACE_FINDINGS)), strict=True))
    for finding in findings:
        for parameter, deviations in FACE_FINDINGS[finding].shifts.items():
            shift[parameter] += deviations * float(strengths[finding])
    values = {
        name: mean + deviation * shift[name] for name, (mean, deviation) in PARAMETERS.items()
    }
    long_hair = rng.random() < {"female": 0.85, "male": 0.08}.get(sex, 0.45)
    return Face(values, long_hair, rng).render()
