"""Tiles of a whole image: the image as it is, or the squares that are cut from it."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mint_ray.cases.schema import RejectedCase
from mint_ray.cases.tiles.source import WHOLE, TileImage, TileRef
from mint_ray.images.decode import is_portable, open_rgb
from mint_ray.images.faults import TOO_SMALL
from mint_ray.images.tiling import MASK_UNREADABLE, encode_tile, image_size, open_mask, squares_of


class Opened(NamedTuple):
    """A whole image, decoded once for all its squares.

    Attributes:
        encoded: encoded bytes of the image.
        image: the image in RGB, or the reason why it cannot be used.
        mask: (height, width) of the image, not zero inside nuclei; None without a mask.
    """

    encoded: bytes
    image: Image.Image | str
    mask: NDArray[np.int32] | None = None


def tile_refs_of(
    whole: TileRef, side: int | None, read: Callable[[], bytes | str], source: str
) -> Iterator[TileRef | RejectedCase]:
    """Yield the reference of the whole image, or one per square: `<image>#<row>_<column>`.

    Args:
        whole: reference to the whole image.
        side: side of the squares, in pixels; None keeps the image whole.
        read: returns the encoded bytes, or a reason; called only if squares are to be cut.
        source: name of the source, for rejections.
    """
    if side is None:
        yield whole
        return
    encoded = read()
    size = encoded if isinstance(encoded, str) else image_size(encoded)
    if isinstance(size, str):
        yield RejectedCase(whole.case_id, source, size)
        return
    squares = list(squares_of(*size, side))
    if not squares:
        yield RejectedCase(whole.case_id, source, TOO_SMALL)
    for top, left in squares:
        case_id = f"{whole.case_id}#{top // side:03d}_{left // side:03d}"
        yield whole._replace(case_id=case_id, top=top, left=left)


def open_image(encoded: bytes | str, mask: object = None) -> Opened:
    """Decode an image and its mask; a reason given instead of bytes is passed on.

    The bytes are kept, unless other programs that read them would show other pixels: a TIFF and
    deep values become an image of 8 bits without loss.
    """
    if isinstance(encoded, str):
        return Opened(b"", encoded)
    image = open_rgb(encoded)
    if isinstance(image, str):
        return Opened(encoded, image)
    if not is_portable(encoded):
        encoded = encode_tile(image)
    if mask is None:
        return Opened(encoded, image)
    nuclei = open_mask(mask)
    if nuclei is None or nuclei.shape != (image.height, image.width):
        return Opened(encoded, MASK_UNREADABLE)
    return Opened(encoded, image, nuclei)


def tile_image_of(ref: TileRef, opened: Opened, side: int | None) -> TileImage | str:
    """Return the image as it is or one square of it, or the reason why it cannot be used."""
    image, mask = opened.image, opened.mask
    if isinstance(image, str):
        return image
    if ref.top == WHOLE or side is None:
        return TileImage(opened.encoded, image, mask)
    window = (ref.left, ref.top, ref.left + side, ref.top + side)
    square = image.crop(window)
    if mask is not None:
        mask = mask[ref.top : ref.top + side, ref.left : ref.left + side]
    return TileImage(encode_tile(square), square, mask)
