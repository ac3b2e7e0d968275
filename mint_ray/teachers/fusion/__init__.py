"""Teacher of the task `disease`: a fusion of the face with HPO terms."""
