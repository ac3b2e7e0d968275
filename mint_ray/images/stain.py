"""Stain shifts: an image of haematoxylin and eosin as another laboratory would stain it.

The shift is that of stain augmentation (Tellez et al., arXiv 1902.06543), in the space of
haematoxylin, eosin and a residual (Ruifrok and Johnston 2001): the amount a of each stain becomes
a·α + β. Tellez et al. draw α from 1 ± 0.05 (light) or 1 ± 0.2 (strong) and β from the same range
about 0, in units of their own. Here |α − 1| lies between `LEAST_SCALE` and `MOST_SCALE`, so that
no shift is too small to have an effect, and β between ± `MOST_OFFSET` of optical density.
"""

import io

import numpy as np
from PIL import Image
from skimage.color import hed_from_rgb, rgb_from_hed

from mint_ray.common.arrays import Floats
from mint_ray.images.decode import open_tile

LEAST_SCALE, MOST_SCALE = 0.1, 0.3
"""Least and most relative change of a stain's amount, up or down."""

MOST_OFFSET = 0.05
"""Largest change of a stain's amount by addition, up or down, in optical density (base 10)."""


_DARKEST = 1 / 255  # black has no finite optical density


def shift_stain(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the image under another stain: RGB, of the same size. Any RGB image is accepted.

    skimage's matrices are used without its `rgb2hed`, which clips negative amounts to 0 and so
    changes colours even if no stain is shifted.

    Args:
        image: RGB.
        rng: source of the shift; the number of draws does not depend on the image.
    """
    scale = 1 + rng.uniform(LEAST_SCALE, MOST_SCALE, 3) * rng.choice([-1.0, 1.0], 3)
    offset = rng.uniform(-MOST_OFFSET, MOST_OFFSET, 3)
    return restain(image, scale, offset)


def restain(image: Image.Image, scale: Floats, offset: Floats) -> Image.Image:
    """Scale the amounts of haematoxylin, eosin and residual, (3,) each, and add the offset.

    A scale of 1 and an offset of 0 return the same image, except that 0 becomes 1 of 255.
    """
    pixels = np.asarray(image.convert("RGB"), dtype=np.float64) / 255
    density = -np.log10(np.maximum(pixels, _DARKEST))
    stains = (density @ hed_from_rgb) * scale + offset
    shifted = 10 ** -np.clip(stains @ rgb_from_hed, 0, None)
    return Image.fromarray((shifted * 255).round().clip(0, 255).astype(np.uint8), "RGB")


def shift_encoded(encoded: bytes | None, rng: np.random.Generator) -> bytes | None:
    """Apply `shift_stain` to an encoded image, as PNG; return an unusable image unchanged."""
    image = open_tile(encoded)
    if isinstance(image, str):
        return encoded
    buffer = io.BytesIO()
    shift_stain(image, rng).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
