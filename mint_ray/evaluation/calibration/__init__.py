"""Calibration of a student: a temperature, and conformal sets of answers."""
