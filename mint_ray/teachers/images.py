"""Encoded images to pixels: whatever bytes come in, pixels or a reason go out."""

import io
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SIDE = 112
"""Height and width of a decoded image, in pixels."""

MAX_PIXELS = 40_000_000
"""Larger images are refused before they are decoded: a small file can hold a huge one."""

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
"""Formats that are decoded; found from the content, whatever a file's name says."""

UNREADABLE = "image_unreadable"
TOO_LARGE = "image_too_large"

Pixels = NDArray[np.uint8]


def decode_image(encoded: bytes) -> Pixels | str:
    """Pixels (3, 112, 112), red green blue, or a reason: `image_unreadable`, `image_too_large`.

    The orientation that EXIF states is applied, the middle square is taken and resized. Grey,
    16-bit, palette and CMYK images become RGB; transparent parts become white; of an animation
    the first frame counts.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what the size check below refuses
            with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    return TOO_LARGE
                image.draft("RGB", (4 * SIDE, 4 * SIDE))  # decodes a large JPEG at reduced size
                upright = ImageOps.exif_transpose(_to_rgb(image))
                square = ImageOps.fit(upright, (SIDE, SIDE), Image.Resampling.BILINEAR)
    except Image.DecompressionBombError:
        return TOO_LARGE
    except Exception:  # Pillow's decoders raise nearly anything on damaged input
        return UNREADABLE
    return np.ascontiguousarray(np.asarray(square, dtype=np.uint8).transpose(2, 0, 1))


def decode_images(column: Sequence[bytes | None]) -> tuple[Pixels, NDArray[np.int64], list[str]]:
    """Decode a column of images.

    Returns:
        Pixels (m, 3, 112, 112) of the images that could be read, the rows (m,) they belong to,
        and per row of the column a reason, empty where there is none.
    """
    pixels, rows, reasons = [], [], [""] * len(column)
    for row, encoded in enumerate(column):
        if encoded is None:
            continue
        found = decode_image(encoded) if isinstance(encoded, bytes) else UNREADABLE
        if isinstance(found, str):
            reasons[row] = found
        else:
            pixels.append(found)
            rows.append(row)
    stacked = np.stack(pixels) if pixels else np.zeros((0, 3, SIDE, SIDE), dtype=np.uint8)
    return stacked, np.array(rows, dtype=np.int64), reasons


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
