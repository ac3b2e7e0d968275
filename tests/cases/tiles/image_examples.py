"""Small images for tests, good ones and bad ones, and what becomes of each."""

import io

import numpy as np
from PIL import Image

from mint_ray.images.decode import BLANK, TOO_LARGE, TOO_SMALL, UNREADABLE
from tests.teachers.faces.test_pixels import decompression_bomb


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(width: int = 64, height: int = 64, seed: int = 0) -> Image.Image:
    """An image that shows something."""
    pixels = np.random.default_rng(seed).integers(0, 200, (height, width, 3))
    return Image.fromarray(pixels.astype(np.uint8))


GOOD = encode(noise())


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(noise(64, 48), "JPEG", exif=exif)


BAD: dict[str, tuple[bytes, str]] = {
    "zero_bytes.png": (b"", UNREADABLE),
    "truncated.png": (GOOD[: len(GOOD) // 2], UNREADABLE),
    "bomb.png": (decompression_bomb(), TOO_LARGE),
    "one_pixel.png": (encode(Image.new("RGB", (1, 1))), TOO_SMALL),
    "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", UNREADABLE),
    "address.png": (b"http://169.254.169.254/latest/meta-data", UNREADABLE),
    "file_address.png": (b"file:///etc/passwd", UNREADABLE),
    "notes.txt": (b"not an image", UNREADABLE),
    "white.png": (encode(Image.new("RGB", (64, 64), "white")), BLANK),
    "black.png": (encode(Image.new("RGB", (64, 64), "black")), BLANK),
}

ODD: dict[str, bytes] = {
    "alpha.png": encode(noise().convert("RGBA")),
    "animated.gif": encode(
        noise().convert("P"), "GIF", save_all=True, append_images=[noise(seed=1).convert("P")]
    ),
    "cmyk.jpg": encode(noise().convert("CMYK"), "JPEG"),
    "deep.png": encode(Image.fromarray(np.asarray(noise().convert("L")).astype(np.uint16) * 200)),
    "grey.png": encode(noise().convert("L")),
    "turned.jpg": _turned(),
    "wrong_extension.jpg": GOOD,
}
"""Unusual images that are used."""
