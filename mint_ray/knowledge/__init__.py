"""What is known of diseases and phenotypes: ontology, annotations, catalogue, grounding."""
