"""Whatever bytes come in, pixels or a reason go out."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mint_ray.images.decode import TOO_LARGE, UNREADABLE
from mint_ray.teachers.faces.pixels import SIDE, decode_image, decode_images


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


Colour = float | tuple[int, ...]


def halves(mode: str, left: Colour, right: Colour) -> Image.Image:
    """Left and right half in two colours."""
    image = Image.new(mode, (40, 40), left)
    image = Image.new(mode, (40, 40), left)
    image.paste(right, (20, 0, 40, 40))
    return image


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (halves("RGB", (0, 0, 0), (255, 255, 255)), "PNG"),
        (halves("RGB", (0, 0, 0), (255, 255, 255)), "JPEG"),
        (halves("L", 0, 255), "PNG"),
        (halves("I;16", 0, 65535), "PNG"),
        (halves("1", 0, 1), "PNG"),
        (halves("CMYK", (0, 0, 0, 255), (0, 0, 0, 0)), "JPEG"),
        (halves("RGBA", (0, 0, 0, 255), (9, 9, 9, 0)), "PNG"),  # transparent counts as white
        (halves("LA", (0, 255), (9, 0)), "PNG"),
        (halves("RGB", (0, 0, 0), (255, 255, 255)).convert("P"), "GIF"),
    ],
)
def test_every_mode_becomes_rgb(image: Image.Image, kind: str) -> None:
    pixels = decode_image(encoded(image, kind))
    assert isinstance(pixels, np.ndarray)
    assert pixels.shape == (3, SIDE, SIDE)
    assert pixels[:, 56, 20].max() < 20
    assert pixels[:, 56, 90].min() > 235


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_the_stated_orientation_is_applied(mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    dark = (0, 0, 0) if mode == "RGB" else (0, 0, 0, 255)
    light = (255, 255, 255) if mode == "RGB" else (255, 255, 255, 255)
    pixels = decode_image(encoded(halves(mode, dark, light), exif=exif))
    assert isinstance(pixels, np.ndarray)
    assert pixels[0, 56, 20] > 235
    assert pixels[0, 56, 90] < 20


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an image",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encoded(halves("RGB", (0, 0, 0), (9, 9, 9)))[:60],
        "https://example.org/face.png",
    ],
)
def test_what_is_no_image_is_named_so(content: object) -> None:
    _, rows, reasons = decode_images([content])  # type: ignore[list-item]
    assert reasons == [UNREADABLE]
    assert len(rows) == 0


def decompression_bomb() -> bytes:
    """A PNG of a few bytes whose header promises 2.5 thousand million pixels."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    )  # fmt: skip


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    assert decode_image(decompression_bomb()) == TOO_LARGE


def test_a_column_keeps_its_rows_apart() -> None:
    good = encoded(Image.new("RGB", (1, 1), (7, 8, 9)))
    pixels, rows, reasons = decode_images([None, good, b"?", good])
    assert rows.tolist() == [1, 3]
    assert reasons == ["", "", UNREADABLE, ""]
    assert pixels[0, :, 0, 0].tolist() == [7, 8, 9]
