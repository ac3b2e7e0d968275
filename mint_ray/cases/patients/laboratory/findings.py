"""Findings of the laboratory among the terms of the ontology."""

from mint_ray.knowledge.ontology import Ontology

LABORATORY = ("HP:0001939", "HP:0001871", "HP:0002715")
"""Metabolism and homeostasis, blood and blood-forming tissues, immune system: the findings of the
laboratory are these terms and all below them."""


def is_laboratory(term: str, ontology: Ontology) -> bool:
    """Return whether a term is a finding of the laboratory."""
    return not ontology.ancestors(term).isdisjoint(LABORATORY)
