"""Encoded images to pixels: whatever bytes come in, an RGB image or a reason goes out."""

import io
import warnings
from typing import Final, Literal

import numpy as np
from PIL import Image, ImageOps

MAX_PIXELS = 40_000_000
"""Larger images are refused before they are decoded: a small file can hold a huge one."""

MIN_SIDE = 16
"""Images with a shorter side, in pixels, show nothing."""

BLANK_DEVIATION = 1.0
"""An image whose grey levels (of 255) deviate less than this from their mean is blank."""

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
"""Formats that are decoded; found from the content, whatever a file's name says."""

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
    """The image upright and in RGB, or a reason: `image_unreadable`, `image_too_large`.

    The orientation that EXIF states is applied. Grey, 16-bit, palette and CMYK images become
    RGB; transparent parts become white; of an animation the first frame counts.

    Args:
        encoded: a file's content; never a path or an address.
        draft_side: a large JPEG may be decoded at a reduced size not below this one, in pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what the size check below refuses
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
    """An image that shows something, as `open_rgb`, or a reason.

    Beyond those of `open_rgb`: `image_missing` (no bytes), `image_too_small`, and `image_blank`
    (one grey level all over).
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
    """Why an RGB image shows nothing: `image_too_small`, `image_blank`; None where it does."""
    if min(image.size) < MIN_SIDE:
        return TOO_SMALL
    if np.asarray(image.convert("L"), dtype=np.float32).std() < BLANK_DEVIATION:
        return BLANK
    return None


def sample_image(side: int = 64) -> bytes:
    """A small image of two colours, as PNG: for trying a model out."""
    pixels = np.zeros((side, side, 3), dtype=np.uint8)
    pixels[: side // 2] = (225, 160, 190)
    pixels[side // 2 :] = (120, 70, 140)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _to_rgb(image: Image.Image) -> Image.Image:
    """An RGB image; keeps the EXIF orientation, which `Image.convert` passes on."""
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_grey(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        merged = Image.alpha_composite(paper, layer).convert("RGB")
        merged.info["exif"] = image.getexif().tobytes()
        return merged
    return image.convert("RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """Eight of the 16 bits of a grey image; values up to 255 are taken as eight bits."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32)).clip(0, 65535)
    scale = 257.0 if values.max(initial=0) > 255 else 1.0
    return Image.fromarray((values / scale).round().astype(np.uint8), "L").convert("RGB")
