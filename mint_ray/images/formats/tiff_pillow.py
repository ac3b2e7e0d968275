"""Pages of a TIFF that Pillow's libtiff decodes."""

import io
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from tifffile import COMPRESSION as CODEC
from tifffile import PHOTOMETRIC

from mint_ray.images.faults import COLOURS, COMPRESSION, UNREADABLE, Fault
from mint_ray.images.formats.transparency import on_white

# Every libtiff has these, so that a page that fails is damaged.
_USUAL = (
    CODEC.NONE,
    CODEC.CCITTRLE,
    CODEC.CCITT_T4,
    CODEC.CCITT_T6,
    CODEC.LZW,
    CODEC.JPEG,
    CODEC.DEFLATE,
    CODEC.ADOBE_DEFLATE,
    CODEC.PACKBITS,
)
_OTHER_BYTE = {"N": "B" if sys.byteorder == "little" else "L", "B": "L", "L": "B"}


def pillow_page(page: Any, encoded: bytes) -> NDArray[Any] | Image.Image | Fault:
    """Decode a page upright: values as they are, or an RGB image where colours are converted.

    Return `image_compression` if Pillow does not decode such a page, `image_colours` for YCbCr
    with subsampling and without compression, or `image_unreadable` for a damaged page.
    """
    keyframe = page.keyframe
    ycbcr = keyframe.photometric == PHOTOMETRIC.YCBCR
    if ycbcr and keyframe.compression != CODEC.JPEG:
        subsampling = keyframe.tags.get("YCbCrSubSampling")
        if subsampling is None or tuple(subsampling.value) != (1, 1):
            return COLOURS
    try:
        image = _open(encoded, page.index)
    except Exception:  # Pillow raises nearly anything on what it does not know
        return COMPRESSION
    try:
        values = _values(image, encoded, page.index)
    except Exception:  # Pillow's decoders raise nearly anything on damaged input
        return UNREADABLE if keyframe.compression in _USUAL else COMPRESSION
    if isinstance(values, np.ndarray) and values.dtype == np.uint8:
        return 255 - values if keyframe.photometric == PHOTOMETRIC.MINISWHITE else values
    return values


def _open(encoded: bytes, index: int) -> ImageFile.ImageFile:
    image = Image.open(io.BytesIO(encoded), formats=("TIFF",))
    image.seek(index)
    return image


def _values(
    image: ImageFile.ImageFile, encoded: bytes, index: int
) -> NDArray[Any] | Image.Image | Fault:
    raw = _raw_mode(image.tile[0])  # before pixels are loaded, which empties the list of tiles
    if ";16" in raw and image.mode in ("RGB", "RGBA", "CMYK"):
        return _deep_values(encoded, index, raw)
    image.load()
    if image.mode in ("RGBA", "LA", "PA"):
        return on_white(image)
    if image.mode == "YCbCr":
        return image.convert("RGB")
    return np.asarray(image.convert("L") if image.mode == "1" else image)


def _deep_values(encoded: bytes, index: int, raw: str) -> NDArray[Any] | Fault:
    """Decode samples of 16 bits, of which Pillow keeps the high byte, in two passes."""
    if raw.startswith("RGBa"):  # Pillow divides by alpha, which the low bytes would not survive
        return COMPRESSION
    order = raw[-1]
    passes = []
    for mode in (raw, raw[:-1] + _OTHER_BYTE[order]):
        image = _open(encoded, index)
        image.tile = [_with_raw_mode(tile, mode) for tile in image.tile]
        passes.append(np.asarray(image).astype(np.uint16))
    return passes[0] << 8 | passes[1]


def _raw_mode(tile: ImageFile._Tile) -> str:
    return tile.args if isinstance(tile.args, str) else str((tile.args or ("",))[0])


def _with_raw_mode(tile: ImageFile._Tile, mode: str) -> ImageFile._Tile:
    rest = tile.args[1:] if isinstance(tile.args, tuple) else ()
    return tile._replace(args=(mode, *rest))
