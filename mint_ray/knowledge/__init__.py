"""Medical knowledge: ontology, disease annotations, label catalogue, grounding and evidence."""
