"""PNG images of every depth and kind: greys, palettes, transparency, 16 bits, turned."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mint_ray.images.decode import is_portable, open_rgb
from tests.cases.tiles.image_examples import encode, noise

RGB = np.asarray(noise(48, 40))
GREY = np.asarray(noise(48, 40).convert("L"))
KINDS = {1: 0, 2: 4, 3: 2, 4: 6}  # samples -> PNG's colour type


def png16(values: np.ndarray, **chunks: bytes) -> bytes:
    """A PNG of 16 bits, which Pillow cannot write in colour; every row has the filter Sub."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    height, width, samples = values.shape
    rows = values.astype(">u2").view(np.uint8).reshape(height, -1).astype(np.int32)
    rows[:, 2 * samples :] -= rows[:, : -2 * samples].copy()
    lines = b"".join(b"\1" + row.astype(np.uint8).tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 16, KINDS[samples], 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunk(name.encode(), content) for name, content in chunks.items())
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def pixels(encoded: bytes) -> np.ndarray:
    image = open_rgb(encoded)
    assert isinstance(image, Image.Image), image
    return np.asarray(image)


@pytest.mark.parametrize("factor", [256, 257, 16, 64, 4])
@pytest.mark.parametrize("samples", [1, 3])
def test_colour_and_grey_of_any_bits_in_16(factor: int, samples: int) -> None:
    values = RGB if samples == 3 else GREY[..., None]
    encoded = png16(values.astype(np.uint16) * factor)
    expected = np.broadcast_to(values, RGB.shape)
    assert np.array_equal(pixels(encoded), expected)
    assert not is_portable(encoded)


def test_a_stated_depth_means_the_whole_range() -> None:
    dark = np.minimum(RGB, 12)
    encoded = png16(dark.astype(np.uint16) * 257, sBIT=bytes([12, 12, 12]))
    assert np.array_equal(pixels(encoded), dark)


@pytest.mark.parametrize("values", [RGB, GREY[..., None]])
def test_transparency_of_16_bits(values: np.ndarray) -> None:
    alpha = np.full((*GREY.shape, 1), 255, np.uint8)
    alpha[:8] = 0
    layers = np.dstack([values, alpha]).astype(np.uint16) * 257
    expected = np.broadcast_to(values, RGB.shape).copy()
    expected[:8] = 255
    assert np.array_equal(pixels(png16(layers)), expected)
    hidden = struct.pack(f">{values.shape[2]}H", *(int(v) * 257 for v in values[0, 0]))
    keyed = np.broadcast_to(values, RGB.shape).copy()
    keyed[(values == values[0, 0]).all(-1)] = 255
    encoded = png16(values.astype(np.uint16) * 257, tRNS=hidden)
    assert np.array_equal(pixels(encoded), keyed)


def test_damage_is_unreadable() -> None:
    assert open_rgb(png16(RGB.astype(np.uint16) * 257)[:2000]) == "image_unreadable"


def test_palettes_and_transparency_of_8_bits() -> None:
    palette = noise(48, 40).quantize(16)
    assert np.array_equal(pixels(encode(palette)), np.asarray(palette.convert("RGB")))
    file = io.BytesIO()
    palette.save(file, "PNG", transparency=3)
    expected = np.asarray(palette.convert("RGB")).copy()
    expected[np.asarray(palette) == 3] = 255
    assert np.array_equal(pixels(file.getvalue()), expected)
    black = Image.fromarray(GREY).convert("1")
    assert np.array_equal(pixels(encode(black)), np.asarray(black.convert("RGB")))
    assert is_portable(encode(palette))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "deep", "alpha"])
def test_exif_turns_every_kind(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = noise(48, 40)
    if kind == "deep":
        image = Image.fromarray(GREY.astype(np.uint16) * 257)
    if kind == "alpha":
        image.putalpha(255)
    options = {"lossless": True} if kind == "WEBP" else {}
    name = kind if kind in ("PNG", "JPEG", "WEBP") else "PNG"
    turned = pixels(encode(image, name, exif=exif, **options))
    reference = np.dstack([GREY] * 3) if kind == "deep" else RGB
    difference = turned.astype(int) - np.rot90(reference, -1)
    assert np.abs(difference).max() == 0 or kind == "JPEG"
    assert turned.shape == (48, 40, 3)
