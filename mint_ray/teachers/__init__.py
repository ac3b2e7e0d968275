"""Multimodal teachers: models that read every modality of a case and score every label."""
