"""MLflow runs and lineage."""
