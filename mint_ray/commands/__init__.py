"""Commands of `mint` that are not stages: doctor, predict, promote."""
