"""Frozen image and text encoders of the tissue teachers."""
