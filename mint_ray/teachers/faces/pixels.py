"""Pixels of face photographs, as input of the face reader."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from mint_ray.common.arrays import Bytes, Ints
from mint_ray.images.decode import open_rgb
from mint_ray.images.faults import MAX_PIXELS, TOO_LARGE, UNREADABLE

__all__ = ["MAX_PIXELS", "SIDE", "TOO_LARGE", "UNREADABLE", "decode_image", "decode_images"]

SIDE = 112
"""Height and width of a decoded image, in pixels."""


def decode_image(encoded: bytes) -> Bytes | str:
    """Decode the middle square of an image; see `open_rgb` for what can be read.

    Returns:
        Pixels (3, 112, 112), red green blue, or the reason why there are none:
        `image_unreadable` or `image_too_large`.
    """
    image = open_rgb(encoded, draft_side=4 * SIDE)
    if isinstance(image, str):
        return image
    square = ImageOps.fit(image, (SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(square, dtype=np.uint8).transpose(2, 0, 1))


def decode_images(column: Sequence[bytes | None]) -> tuple[Bytes, Ints, list[str]]:
    """Decode a column of images.

    Returns:
        Pixels (m, 3, 112, 112) of the images that could be read, the rows (m,) they belong to,
        and per row of the column the reason why it could not be read, else "".
    """
    pixels, rows, reasons = [], [], [""] * len(column)
    for row, encoded in enumerate(column):
        if encoded is None:
            continue
        decoded = decode_image(encoded) if isinstance(encoded, bytes) else UNREADABLE
        if isinstance(decoded, str):
            reasons[row] = decoded
        else:
            pixels.append(decoded)
            rows.append(row)
    stacked = np.stack(pixels) if pixels else np.zeros((0, 3, SIDE, SIDE), dtype=np.uint8)
    return stacked, np.array(rows, dtype=np.int64), reasons
