"""Tile cases: sources of tissue images, their labels, and the tiles made of them."""
