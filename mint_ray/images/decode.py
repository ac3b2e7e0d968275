"""Decoding of images: an RGB image, or a reason, for any bytes."""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from mint_ray.images.faults import (
    BLANK,
    MAX_PIXELS,
    MISSING,
    TOO_LARGE,
    TOO_SMALL,
    UNREADABLE,
    Fault,
)
from mint_ray.images.formats.deep_png import deep_png, is_deep_png
from mint_ray.images.formats.tiff import is_tiff, open_tiff
from mint_ray.images.formats.transparency import on_white

MIN_SIDE = 16
"""Least length, in pixels, of the shorter side of a usable image."""

BLANK_DEVIATION = 1.0
"""Standard deviation of the grey levels (0 to 255) below which an image is blank."""

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
"""Formats that are decoded; recognised by content, whatever a file's name says."""


def open_rgb(encoded: bytes, draft_side: int | None = None) -> Image.Image | Fault:
    """Decode an image upright and in RGB, or return why that is impossible.

    The orientation that EXIF states is applied. Grey, deep, palette and CMYK images become RGB;
    `to_8_bits` says how deep values are reduced, `open_tiff` which image of a TIFF is decoded.
    Transparent parts become white. Of an animation, the first frame is decoded.

    Args:
        encoded: a file's content; never a path or an address.
        draft_side: a large JPEG may be decoded at a reduced size not below this one, in pixels.
    """
    if is_tiff(encoded):
        return open_tiff(encoded)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of sizes that are refused below
            with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    return TOO_LARGE
                if draft_side:
                    image.draft("RGB", (draft_side, draft_side))
                rgb = deep_png(image, encoded) if is_deep_png(encoded) else _to_rgb(image)
                if isinstance(rgb, str):
                    return rgb
                rgb.info["exif"] = image.getexif().tobytes()  # holds the orientation
                ImageOps.exif_transpose(rgb, in_place=True)
                return rgb
    except Image.DecompressionBombError:
        return TOO_LARGE
    except Exception:  # Pillow's decoders raise nearly anything on damaged input
        return UNREADABLE


def is_portable(encoded: bytes) -> bool:
    """Return whether other programs show an image as `open_rgb` decodes it: no TIFF, 8 bits."""
    return not is_tiff(encoded) and not is_deep_png(encoded)


def open_tile(encoded: object) -> Image.Image | Fault:
    """Decode an image as `open_rgb` does, or return a reason why it is not a usable tile.

    Reasons beyond those of `open_rgb`: `image_missing` (no bytes), `image_too_small`, and
    `image_blank` (one grey level everywhere).
    """
    if encoded is None:
        return MISSING
    if not isinstance(encoded, bytes):
        return UNREADABLE
    image = open_rgb(encoded)
    if isinstance(image, str):
        return image
    return tile_fault(image) or image


def tile_fault(image: Image.Image) -> Fault | None:
    """Return `image_too_small` or `image_blank` if an RGB image shows nothing, else None."""
    if min(image.size) < MIN_SIDE:
        return TOO_SMALL
    return BLANK if _deviation_of_grey(image) < BLANK_DEVIATION else None


def _deviation_of_grey(image: Image.Image) -> float:
    """Return the standard deviation of the grey levels, without an array of the pixels."""
    counts, levels = np.array(image.convert("L").histogram(), dtype=np.float64), np.arange(256)
    mean = (counts * levels).sum() / counts.sum()
    return float(np.sqrt((counts * (levels - mean) ** 2).sum() / counts.sum()))


def sample_image(side: int = 64) -> bytes:
    """Return a two-coloured PNG of `side` × `side` pixels, for trying out a model."""
    pixels = np.zeros((side, side, 3), dtype=np.uint8)
    pixels[: side // 2] = (225, 160, 190)
    pixels[side // 2 :] = (120, 70, 140)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        return on_white(image)
    if image.mode == "RGB":  # each copy of forty megapixels takes 160 MB
        image.load()
        return image
    return image.convert("RGB")
