"""MLflow runs and lineage."""

from mint_ray.tracking.tracker import NullTracker, Run, Tracker, create_tracker

__all__ = ["NullTracker", "Run", "Tracker", "create_tracker"]
