"""Conversion of a TIFF's samples to RGB."""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import EXTRASAMPLE, PHOTOMETRIC, TiffPage

from mint_ray.common.arrays import Bytes
from mint_ray.images.faults import VALUES, Fault
from mint_ray.images.formats.depth import to_8_bits
from mint_ray.images.formats.transparency import values_on_white

SAMPLES: Final[dict[int, int]] = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.YCBCR: 3,
    PHOTOMETRIC.SEPARATED: 4,
}
"""Samples of a pixel, without extra ones, by the kinds of colours that are converted."""

_NEARLY_WHITE: Final = 4096
CLEAR: Final = (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)
"""Kinds of extra samples that are transparency."""


class Samples(NamedTuple):
    """Decoded values of an image with the tags that say what they mean.

    Attributes:
        values: (height, width) or (height, width, samples).
        page: the page with the tags.
        separate: whether the samples are red, green and blue from pages of their own.
        largest: the largest value that can occur, None where it is not stated.
    """

    values: NDArray[Any]
    page: TiffPage
    separate: bool
    largest: float | None


def to_rgb(samples: Samples) -> Bytes | Fault:
    """Return (height, width, 3) of 8 bits, or `image_values`."""
    page = samples.page
    values = samples.values if samples.values.ndim == 3 else samples.values[..., None]
    if page.photometric == PHOTOMETRIC.PALETTE:
        return _from_palette(values[..., 0], page)
    base = 3 if samples.separate else SAMPLES[page.photometric]
    colours = _colours(values[..., :base], samples)
    if colours is None:
        return VALUES
    kind = page.extrasamples[0] if page.extrasamples and values.shape[2] > base else None
    if kind not in CLEAR:
        return colours
    alpha = to_8_bits(values[..., base])
    if alpha is None:
        return VALUES
    return values_on_white(colours, alpha, premultiplied=kind == EXTRASAMPLE.ASSOCALPHA)


def _colours(values: NDArray[Any], samples: Samples) -> Bytes | None:
    kind, largest = samples.page.photometric, samples.largest
    inverted = kind == PHOTOMETRIC.MINISWHITE
    if inverted and largest is None and values.dtype.kind in "ui" and values.dtype.itemsize > 1:
        # Small values are pale here, so they say nothing about the bits in use.
        if values.max(initial=0) < _NEARLY_WHITE:
            return None
        largest = float(np.iinfo(values.dtype).max)
    bits = to_8_bits(values, largest)
    if bits is None:
        return None
    if inverted:
        bits = 255 - bits
    if kind == PHOTOMETRIC.SEPARATED:
        return np.asarray(Image.fromarray(bits, "CMYK").convert("RGB"))
    return np.repeat(bits, 3, axis=2) if bits.shape[2] == 1 else bits


def _from_palette(numbers: NDArray[Any], page: TiffPage) -> Bytes | Fault:
    table = page.colormap
    if table is None or numbers.max(initial=0) >= table.shape[1]:
        return VALUES
    # Colours are of 16 bits; some programs write 8 bits, as libtiff knows too.
    bits = table if table.max(initial=0) <= 255 else table >> 8
    colours: Bytes = bits.astype(np.uint8).T[numbers]
    return colours
