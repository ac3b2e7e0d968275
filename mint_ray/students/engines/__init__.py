"""Optimizer steps on one or many workers, and the checkpoints of their state."""
