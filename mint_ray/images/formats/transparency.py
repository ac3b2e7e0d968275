"""Transparent images on white paper."""

import numpy as np
from PIL import Image

from mint_ray.common.arrays import Bytes


def on_white(image: Image.Image) -> Image.Image:
    """Return an image in RGB whose transparent parts are white."""
    layer = image.convert("RGBA")
    paper = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(paper, layer).convert("RGB")


def values_on_white(colours: Bytes, alpha: Bytes, premultiplied: bool = False) -> Bytes:
    """Return (height, width, 3) colours whose transparent parts are white.

    Args:
        colours: (height, width, 3).
        alpha: (height, width), 255 where the image is opaque.
        premultiplied: whether the colours are multiplied with alpha already.
    """
    if premultiplied:
        white = 255 - alpha[..., None].astype(np.int32)
        return (colours + white).clip(0, 255).astype(np.uint8)
    layer = Image.fromarray(np.dstack([colours, alpha]))
    return np.asarray(on_white(layer))
