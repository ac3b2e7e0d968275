"""Log-probabilities of completions, in a readable and in a fast layout."""
