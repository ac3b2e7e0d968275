"""Step graph of the pipeline: definitions, hashes, runs, manifests and progress."""
