"""Probabilities of fitted models: a temperature, and a gate between kinds."""
