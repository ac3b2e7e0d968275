"""Preference pairs as training data: rows on disk, examples, order and micro-batches."""
