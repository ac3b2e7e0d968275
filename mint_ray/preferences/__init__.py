"""Preference pairs from a teacher's scores: selection, rendering and files."""
