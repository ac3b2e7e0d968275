"""Fused ranking: a student's probabilities joined with those of look-ups on the same note."""
