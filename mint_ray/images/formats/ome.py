"""Channels and bits of a TIFF, as its OME-XML states them."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree

_NAMES = {"r": 0, "red": 0, "g": 1, "green": 1, "b": 2, "blue": 2}
_COLOURS = {0xFF0000FF: 0, 0x00FF00FF: 1, 0x0000FFFF: 2}  # red, green, blue and alpha
_NO_NAME = re.compile(r"(c|ch|channel)?[ _:.-]*\d*([ _:.-]\d+)*", re.IGNORECASE)

Element = ElementTree.Element


def channel_order(xml: str | None, image: int, channels: int) -> tuple[int, ...] | None:
    """Return the numbers of the red, green and blue channel, or None if channels are others.

    Channels without names and colours are taken in the order red, green, blue. Names of dyes
    give None.

    Args:
        xml: the file's OME-XML; None for a file without.
        image: number of the image in it, from 0.
        channels: number of channels.
    """
    plain = tuple(range(channels))
    found = _image(xml, image)
    stated = [] if found is None else list(found.iterfind(".//{*}Channel"))
    if len(stated) != channels:
        return plain
    names = [item.get("Name", "").strip() for item in stated]
    if not all(_NO_NAME.fullmatch(name) for name in names):
        return _sorted([_NAMES.get(name.casefold()) for name in names])
    colours = [_colour(item.get("Color")) for item in stated]
    return _sorted([_COLOURS.get(c) for c in colours if c is not None]) or plain


def significant_bits(xml: str | None, image: int) -> int | None:
    """Return the bits in use of an image, None where they are not stated."""
    found = _image(xml, image)
    pixels = None if found is None else found.find("{*}Pixels")
    bits = "" if pixels is None else pixels.get("SignificantBits", "")
    return int(bits) if bits.isdecimal() and 0 < int(bits) <= 32 else None


def _image(xml: str | None, number: int) -> Element | None:
    try:
        images = ElementTree.fromstring(xml).findall("{*}Image") if xml else []
    except ElementTree.ParseError:
        return None
    return images[number] if number < len(images) else None


def _sorted(places: Sequence[int | None]) -> tuple[int, ...] | None:
    """Return the channels of red, green and blue, or None if they are not each there once."""
    if sorted(place for place in places if place is not None) != [0, 1, 2]:
        return None
    return tuple(places.index(place) for place in (0, 1, 2))


def _colour(text: str | None) -> int | None:
    try:
        return int(text or "") & 0xFFFFFFFF
    except ValueError:
        return None
