"""Squares of an image, masks of nuclei, and bytes for what was cut or drawn."""

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mint_ray.images.decode import FORMATS, MAX_PIXELS, TOO_LARGE, UNREADABLE

MASK_UNREADABLE = "mask_unreadable"
"""Reason: a nucleus mask that cannot be decoded, or is of another size than its image."""

_UPRIGHT = range(5)  # EXIF orientations that keep width and height
_ORIENTATION = 0x0112


def image_size(encoded: bytes) -> tuple[int, int] | str:
    """Width and height of the upright image, or a reason; reads the header alone."""
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) not in _UPRIGHT
    except Image.DecompressionBombError:
        return TOO_LARGE
    except Exception:  # Pillow's decoders raise nearly anything on damaged input
        return UNREADABLE
    if width * height > MAX_PIXELS:
        return TOO_LARGE
    return (height, width) if turned else (width, height)


def squares_of(width: int, height: int, side: int) -> Iterator[tuple[int, int]]:
    """Top and left of the whole squares of an image, row by row; the rest of it is dropped."""
    for top in range(0, height - side + 1, side):
        for left in range(0, width - side + 1, side):
            yield top, left


def open_mask(encoded: object) -> NDArray[np.int32] | None:
    """(height, width) mask of nuclei as it is numbered, None where it cannot be decoded."""
    if not isinstance(encoded, bytes):
        return None
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            values = np.asarray(image.convert("L") if image.mode == "LA" else image)
    except Exception:  # also DecompressionBombError
        return None
    if values.ndim == 3:  # colours number nuclei too
        return values[..., :3].astype(np.int32) @ np.array([1, 256, 65536], np.int32)
    return values.astype(np.int32)


def encode_tile(image: Image.Image, lossless: bool = True) -> bytes:
    """WebP, quick to write and to read.

    Of a tile of 224 pixels cut from a slide, about 90 kB in 1.5 ms without loss (PNG: 105 kB in
    15 ms); drawn, 17 kB in 3 ms with the losses of quality 95, which go into the noise.
    """
    file = io.BytesIO()
    if lossless:
        image.save(file, "WEBP", lossless=True, method=0, quality=20)
    else:
        image.save(file, "WEBP", quality=95, method=2)
    return file.getvalue()
