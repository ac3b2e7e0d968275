"""Squares of an image, masks of nuclei, and the encoding of tiles."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mint_ray.images.decode import FORMATS
from mint_ray.images.faults import MAX_PIXELS, TOO_LARGE, UNREADABLE
from mint_ray.images.formats.tiff import is_tiff, tiff_size, tiff_values

MASK_UNREADABLE = "mask_unreadable"
"""Reason: the mask of nuclei cannot be decoded, or its size differs from the image's."""

_WEBP_SIDE = 16383
_SIDEWAYS = range(5, 9)  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112


def image_size(encoded: bytes) -> tuple[int, int] | str:
    """Return width and height of the upright image, or a reason; only read the header."""
    if is_tiff(encoded):
        return tiff_size(encoded)
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) in _SIDEWAYS
    except Image.DecompressionBombError:
        return TOO_LARGE
    except Exception:  # Pillow's decoders raise nearly anything on damaged input
        return UNREADABLE
    if width * height > MAX_PIXELS:
        return TOO_LARGE
    return (height, width) if turned else (width, height)


def squares_of(width: int, height: int, side: int) -> Iterator[tuple[int, int]]:
    """Yield top and left of each whole square, in pixels, row by row; drop the remainder."""
    for top in range(0, height - side + 1, side):
        for left in range(0, width - side + 1, side):
            yield top, left


def open_mask(encoded: object) -> NDArray[np.int32] | None:
    """Decode a (height, width) mask of numbered nuclei; return None if that is impossible."""
    if not isinstance(encoded, bytes):
        return None
    values = _mask_values(encoded)
    if values is None or values.dtype.kind not in "uifb":
        return None
    if not (np.abs(values.astype(np.float64)) < 2**31).all():  # also what is not a number
        return None
    if values.ndim == 3:  # colours number nuclei too
        return values[..., :3].astype(np.int32) @ np.array([1, 256, 65536], np.int32)
    return values.astype(np.int32)


def _mask_values(encoded: bytes) -> NDArray[Any] | None:
    if is_tiff(encoded):
        values = tiff_values(encoded)
        return None if isinstance(values, str) else values
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            return np.asarray(image.convert("L") if image.mode == "LA" else image)
    except Exception:  # also DecompressionBombError
        return None


def encode_tile(image: Image.Image, lossless: bool = True) -> bytes:
    """Encode a tile as WebP, which is quick to write and to read.

    A tile of 224 pixels cut from a slide takes about 90 kB and 1.5 ms without loss (PNG: 105 kB
    and 15 ms). A drawn tile takes 17 kB and 3 ms at quality 95; its noise hides the loss. An image
    that is too long for WebP becomes PNG.
    """
    file = io.BytesIO()
    if max(image.size) > _WEBP_SIDE:
        image.save(file, "PNG", compress_level=1)
    elif lossless:
        image.save(file, "WEBP", lossless=True, method=0, quality=20)
    else:
        image.save(file, "WEBP", quality=95, method=2)
    return file.getvalue()
