"""Squares, headers and masks."""

import io

import numpy as np
import pytest
from PIL import Image

from mint_ray.images.decode import TOO_LARGE, UNREADABLE, open_rgb
from mint_ray.images.tiling import encode_tile, image_size, open_mask, squares_of
from tests.teachers.faces.test_pixels import decompression_bomb


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_incomplete_border_squares_are_dropped() -> None:
    assert list(squares_of(70, 64, 32)) == [(0, 0), (0, 32), (32, 0), (32, 32)]
    assert list(squares_of(31, 64, 32)) == []


def test_the_size_is_that_of_the_upright_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(Image.new("RGB", (40, 30)), "JPEG", exif=exif)
    upright = open_rgb(turned)
    assert isinstance(upright, Image.Image)
    assert image_size(turned) == upright.size == (30, 40)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", UNREADABLE), (b"<svg/>", UNREADABLE), (decompression_bomb(), TOO_LARGE)],
)
def test_what_has_no_size(content: bytes, reason: str) -> None:
    assert image_size(content) == reason


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "RGB", "LA", "P"])
def test_masks_of_every_mode(mode: str) -> None:
    image = Image.fromarray(np.array([[0, 0, 255], [255, 0, 0]], np.uint8))
    image = Image.fromarray(np.asarray(image).astype(np.uint16)) if mode == "I;16" else image
    mask = open_mask(encoded(image if mode == "I;16" else image.convert(mode)))
    assert mask is not None
    assert (mask != 0).tolist() == [[False, False, True], [True, False, False]]


@pytest.mark.parametrize("content", [None, "mask.png", b"", b"?", decompression_bomb()])
def test_masks_that_are_none(content: object) -> None:
    assert open_mask(content) is None


def test_what_is_cut_keeps_its_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    back = open_rgb(encode_tile(Image.fromarray(pixels)))
    assert np.array_equal(np.asarray(back), pixels)


def test_an_orientation_that_does_not_exist_turns_nothing() -> None:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 9
    Image.new("RGB", (30, 20)).save(buffer, "PNG", exif=exif)
    assert image_size(buffer.getvalue()) == (30, 20)
