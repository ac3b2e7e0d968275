"""Multimodal teachers, preference pairs and unimodal students, on Ray."""

__version__ = "0.1.0"
