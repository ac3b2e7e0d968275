"""Multimodal teachers: models that see every modality and score every label."""
