"""mint_ray: multimodal teachers, preference pairs, unimodal students, on Ray."""

__version__ = "0.1.0"
