"""Training of a student: the loop, its preparation, checkpoints and validation."""
