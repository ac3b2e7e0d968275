"""Comparison of systems on tested cases: predictions, metrics with intervals, calibration."""
