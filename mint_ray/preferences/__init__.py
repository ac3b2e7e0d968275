"""From ranked labels to preference pairs."""
