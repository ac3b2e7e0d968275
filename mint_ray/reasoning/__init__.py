"""Answers by chain of thought and retrieved documents (arXiv 2503.12286), from any chat model."""
