"""Clip."""
