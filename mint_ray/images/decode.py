"""Decoding of images: an RGB image, or a reason, for any bytes."""

import io
import warnings
from typing import Final, Literal

import numpy as np
from PIL import Image, ImageOps

MAX_PIXELS = 40_000_000
"""Most pixels of an image. A larger one is refused undecoded: a small file can hold a huge one."""

MIN_SIDE = 16
"""Least length, in pixels, of the shorter side of a usable image."""

BLANK_DEVIATION = 1.0
"""Standard deviation of the grey levels (0 to 255) below which an image is blank."""

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
"""Formats that are decoded; recognised by content, whatever a file's name says."""

MISSING: Final = "image_missing"
UNREADABLE: Final = "image_unreadable"
TOO_LARGE: Final = "image_too_large"
TOO_SMALL: Final = "image_too_small"
BLANK: Final = "image_blank"

Fault = Literal[
    "image_missing", "image_unreadable", "image_too_large", "image_too_small", "image_blank"
]
"""Why an image shows nothing."""


def open_rgb(encoded: bytes, draft_side: int | None = None) -> Image.Image | Fault:
    """Decode an image upright and in RGB, or return `image_unreadable` or `image_too_large`.

    The orientation that EXIF states is applied. Grey, 16-bit, palette and CMYK images become
    RGB. Transparent parts become white. Of an animation, the first frame is decoded.

    Args:
        encoded: a file's content; never a path or an address.
        draft_side: a large JPEG may be decoded at a reduced size not below this one, in pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of sizes that are refused below
            with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    return TOO_LARGE
                if draft_side:
                    image.draft("RGB", (draft_side, draft_side))
                return ImageOps.exif_transpose(_to_rgb(image))
    except Image.DecompressionBombError:
        return TOO_LARGE
    except Exception:  # Pillow's decoders raise nearly anything on damaged input
        return UNREADABLE


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
    if np.asarray(image.convert("L"), dtype=np.float32).std() < BLANK_DEVIATION:
        return BLANK
    return None


def sample_image(side: int = 64) -> bytes:
    """Return a two-coloured PNG of `side` × `side` pixels, for trying out a model."""
    pixels = np.zeros((side, side, 3), dtype=np.uint8)
    pixels[: side // 2] = (225, 160, 190)
    pixels[side // 2 :] = (120, 70, 140)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB and keep the EXIF data, which holds the orientation."""
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_grey(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        merged = Image.alpha_composite(paper, layer).convert("RGB")
        # `Image.convert` passes EXIF data on, `alpha_composite` drops it.
        merged.info["exif"] = image.getexif().tobytes()
        return merged
    return image.convert("RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """Reduce a deep grey image to 8 bits; values up to 255 are taken as 8 bits already."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32)).clip(0, 65535)
    scale = 257.0 if values.max(initial=0) > 255 else 1.0
    return Image.fromarray((values / scale).round().astype(np.uint8), "L").convert("RGB")
