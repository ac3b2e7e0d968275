"""Settings of the systems that are not trained: documents, and chat models that are asked."""
