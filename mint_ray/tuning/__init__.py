"""Campaigns of training runs, without Ray: proposal and stopping of trials, and results."""
