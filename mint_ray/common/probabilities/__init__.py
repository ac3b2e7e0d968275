"""Probabilities of fitted models: a temperature, a gate between kinds, and weights of cases."""
