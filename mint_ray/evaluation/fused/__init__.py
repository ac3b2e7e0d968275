"""Fused ranking: a student's probabilities pooled with those of look-ups on the same note."""
