"""PNG images of 16 bits, of which Pillow alone keeps half."""

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from mint_ray.common.arrays import Bytes
from mint_ray.images.faults import VALUES, Fault
from mint_ray.images.formats.depth import to_8_bits
from mint_ray.images.formats.transparency import values_on_white

# Raw mode of Pillow's decoder, which keeps the high byte -> raw mode that keeps the low byte
_LOW_BYTE = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
_GREY_ALPHA = "LA;16B"  # four bytes a pixel, which are read as if they were RGBA
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEPTH_AT = 24


def is_deep_png(encoded: bytes) -> bool:
    """Return whether a file begins as a PNG with 16 bits a sample."""
    return encoded.startswith(_SIGNATURE) and encoded[_DEPTH_AT : _DEPTH_AT + 1] == b"\x10"


def deep_png(image: ImageFile.ImageFile, encoded: bytes) -> Image.Image | Fault:
    """Decode a PNG for which `is_deep_png` holds to RGB, or return `image_values`.

    A PNG with the chunk sBIT uses its whole range. Otherwise fewer bits may be in use; see
    `to_8_bits`. Transparent parts become white.

    Args:
        image: the opened image, no pixel of which is decoded yet.
        encoded: its bytes.
    """
    transparent = image.info.get("transparency")
    values = _values(image, encoded)
    colours, alpha = values, None
    if values.shape[2] in (2, 4):
        colours, alpha = values[..., :-1], to_8_bits(values[..., -1], 65535)
    elif transparent is not None:
        hidden = (values == np.asarray(transparent)).all(axis=2)
        alpha = np.where(hidden, 0, 255).astype(np.uint8)
    stated = 65535 if b"sBIT" in _chunks_before_data(encoded) else None
    bits = to_8_bits(colours, stated)
    if bits is None:
        return VALUES
    rgb = np.repeat(bits, 3, axis=2) if bits.shape[2] == 1 else bits
    return Image.fromarray(rgb if alpha is None else values_on_white(rgb, alpha))


def _raw_mode(image: ImageFile.ImageFile) -> str:
    args = image.tile[0].args
    return args if isinstance(args, str) else str(args[0] if args else "")


def _values(image: ImageFile.ImageFile, encoded: bytes) -> NDArray[Any]:
    """Return (height, width, samples) of 16 bits."""
    raw = _raw_mode(image)
    if raw == _GREY_ALPHA:
        quads = _decoded(encoded, "RGBA", "RGBA")
        high, low = quads[..., ::2], quads[..., 1::2]
    elif raw in _LOW_BYTE:
        mode = image.mode
        high, low = _decoded(encoded, mode, raw), _decoded(encoded, mode, _LOW_BYTE[raw])
    else:
        return np.asarray(image)[..., None]
    return high.astype(np.uint16) << 8 | low


def _decoded(encoded: bytes, mode: str, raw: str) -> Bytes:
    """Decode with another raw mode of as many bits a pixel, which picks other bytes."""
    with Image.open(io.BytesIO(encoded), formats=("PNG",)) as image:
        image._mode = mode
        image.tile = [tile._replace(args=raw) for tile in image.tile]
        return np.asarray(image)


def _chunks_before_data(encoded: bytes) -> set[bytes]:
    names, position = set[bytes](), len(_SIGNATURE)
    while position + 8 <= len(encoded):
        length, name = struct.unpack_from(">I4s", encoded, position)
        if name == b"IDAT":
            break
        names.add(name)
        position += length + 12
    return names
