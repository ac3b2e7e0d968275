"""Training objectives and their parts: odds of completions, calibration terms."""
