"""Logprobs."""
