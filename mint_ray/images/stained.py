"""Colours of haematoxylin and eosin: whether an image can be a tile of stained tissue at all.

Both stains, in any amounts, absorb green most: their optical densities in red, green and blue are
about (0.65, 0.70, 0.29) and (0.07, 0.99, 0.11). Source: Ruifrok and Johnston, 2001. Photographs,
scans of text and other stains leave that range of colours.
"""

import numpy as np

from mint_ray.common.arrays import Bytes

LEAST_SHARE = 0.5
"""Least share of the coloured pixels that has these colours, in an image of stained tissue."""
_MOST_RED, _MOST_BLUE = 1.25, 0.9
"""Most absorption of red and of blue, over that of green; both have room for other scanners."""
_COLOURED = 0.15
"""Sum of the three optical densities above which a pixel is not empty slide."""
_LEAST_COLOURED = 0.01
"""Share of such pixels below which an image has no colour that could be judged."""


def stained_share(rgb: Bytes) -> float | None:
    """Return the share of the coloured pixels that haematoxylin and eosin can colour, 0 to 1.

    Args:
        rgb: (h, w, 3) uint8 pixels.

    Returns:
        None where the image has too few coloured pixels, as of an empty slide.
    """
    red, green, blue = np.moveaxis(-np.log10(np.maximum(rgb, 1) / 255), -1, 0)
    coloured = red + green + blue > _COLOURED
    if coloured.mean() < _LEAST_COLOURED:
        return None
    possible = (red <= _MOST_RED * green) & (blue <= _MOST_BLUE * green)
    return float(possible[coloured].mean())


def looks_stained(rgb: Bytes) -> bool:
    """Return whether an image has the colours of stained tissue; not so for an empty slide."""
    share = stained_share(rgb)
    return share is not None and share >= LEAST_SHARE
