"""MLflow tracking of runs and their lineage, and the registry of students."""

from mint_ray.tracking.tracker import NullTracker, Run, Tracker, create_tracker

__all__ = ["NullTracker", "Run", "Tracker", "create_tracker"]
