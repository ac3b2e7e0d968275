"""Disease teacher `stacked`: learning to rank over training patients and annotations."""
