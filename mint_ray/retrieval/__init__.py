"""Documents of diseases and genes, and search among them by words and by meaning."""
