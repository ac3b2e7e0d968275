"""Disease teacher `gestaltmml`: ViLT on a face and words, with a classification head."""
