"""Formats that Pillow alone does not read right: TIFF, and PNG of 16 bits."""
