"""Page of a comparison of systems."""
