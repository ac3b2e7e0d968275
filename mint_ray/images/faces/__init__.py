"""Schematic faces: drawing parameters, facial findings and rendering."""
