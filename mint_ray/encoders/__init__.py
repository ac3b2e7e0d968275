"""Encoders that teachers and retrieval share."""
