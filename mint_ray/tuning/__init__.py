"""Campaigns of training runs: what is tried, what is stopped, what it taught. No Ray in here."""
