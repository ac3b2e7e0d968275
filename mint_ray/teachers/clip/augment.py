"""Augmented copies of a tile: cut, turned, and stained differently."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.color import rgb_from_hed

# Optical density of haematoxylin, eosin and a third stain in red, green and blue (Ruifrok &
# Johnston, 2001, Anal Quant Cytol Histol 23:291-299), each of length one. The control in
# `images.stain` shifts the same stains in the units of skimage (base 10, not quite of length one);
# the strengths below are in natural logarithms, and in other units a teacher would be another one.
_STAINS = rgb_from_hed.astype(np.float32)
_STAINS /= np.linalg.norm(_STAINS, axis=1, keepdims=True)
_UNMIX = np.linalg.inv(_STAINS).astype(np.float32)

STRENGTH = 0.2
"""Largest change of the amount of a stain, as a share of it."""
SHIFT = 0.04
"""Largest shift of the amount of a stain, in optical density."""
ZOOM = 0.1
"""Largest share of a side that is cut away."""


def make_views(image: Image.Image, count: int, rng: np.random.Generator) -> list[Image.Image]:
    """Return the image itself and `count - 1` varied copies of it."""
    return [image, *(vary_tile(image, rng) for _ in range(count - 1))]


def vary_tile(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut the tile to a random part, flip and turn it, and shift its stains a little."""
    share = 1 - rng.uniform(0, ZOOM)
    width, height = (max(1, round(side * share)) for side in image.size)
    left = int(rng.integers(image.width - width + 1))
    top = int(rng.integers(image.height - height + 1))
    part = turn(image.crop((left, top, left + width, top + height)), int(rng.integers(8)))
    return shift_stains(
        part,
        1 + rng.uniform(-STRENGTH, STRENGTH, 3).astype(np.float32),
        rng.uniform(-SHIFT, SHIFT, 3).astype(np.float32),
    )


def turn(image: Image.Image, number: int) -> Image.Image:
    """Return one of the eight flips and quarter turns; number 0 is the image as it is."""
    flipped = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if number & 4 else image
    return flipped.rotate(90 * (number & 3), expand=True) if number & 3 else flipped


def shift_stains(
    image: Image.Image, factors: NDArray[np.float32], shifts: NDArray[np.float32]
) -> Image.Image:
    """Return the tile with each amount of stain `a` changed to `factor·a + shift`.

    Args:
        image: RGB.
        factors: (3,) of haematoxylin, eosin and the third stain.
        shifts: (3,) in optical density.
    """
    density = -np.log((np.asarray(image, np.float32) + 1) / 256)
    amounts = density @ _UNMIX * factors + shifts
    values = 256 * np.exp(-(amounts @ _STAINS)) - 1
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8), "RGB")
