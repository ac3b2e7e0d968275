"""Teachers of the task `tissue`: classifiers on frozen image and text encoders."""
