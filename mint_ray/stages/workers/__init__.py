"""Ray actors and workers of the stages: rankers, scorers and training workers."""
