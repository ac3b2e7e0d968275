"""Disease teacher `neighbours`: the diseases of the most similar training patients."""
