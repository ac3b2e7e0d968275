"""Findings of the laboratory: which they are, and the report that states them."""
