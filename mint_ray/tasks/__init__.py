"""Tasks of a student: `disease` from a note and `tissue` from an image, and their prompts."""
