"""Copies of a tile as another slide, stainer or scanner might have shown it."""

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
"""Most by which the amount of a stain is scaled, as a share."""
SHIFT = 0.04
"""Most by which it is shifted, in optical density."""
ZOOM = 0.1
"""Largest share of the side that is cut away."""


def make_views(image: Image.Image, count: int, rng: np.random.Generator) -> list[Image.Image]:
    """The image itself and `count - 1` varied copies of it."""
    return [image, *(vary_tile(image, rng) for _ in range(count - 1))]


def vary_tile(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut to a random square part, flipped, turned, and stained a little otherwise."""
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
    """One of the eight flips and quarter turns; 0 leaves the image as it is."""
    flipped = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if number & 4 else image
    return flipped.rotate(90 * (number & 3), expand=True) if number & 3 else flipped


def shift_stains(
    image: Image.Image, factors: NDArray[np.float32], shifts: NDArray[np.float32]
) -> Image.Image:
    """The tile with amounts a of haematoxylin, eosin and the rest, (3,), made factor·a + shift."""
    density = -np.log((np.asarray(image, np.float32) + 1) / 256)
    amounts = density @ _UNMIX * factors + shifts
    values = 256 * np.exp(-(amounts @ _STAINS)) - 1
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8), "RGB")
