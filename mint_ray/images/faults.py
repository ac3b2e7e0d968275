"""Reasons why an image cannot be used, and the limits behind them."""

from typing import Final, Literal

MAX_PIXELS = 40_000_000
"""Most pixels of an image. A larger one is refused undecoded: a small file can hold a huge one."""

MISSING: Final = "image_missing"
UNREADABLE: Final = "image_unreadable"
TOO_LARGE: Final = "image_too_large"
TOO_SMALL: Final = "image_too_small"
BLANK: Final = "image_blank"
STACK: Final = "image_stack"
PAGES: Final = "image_pages"
CHANNELS: Final = "image_channels"
VALUES: Final = "image_values"
COLOURS: Final = "image_colours"
COMPRESSION: Final = "image_compression"

Fault = Literal[
    "image_missing",
    "image_unreadable",
    "image_too_large",
    "image_too_small",
    "image_blank",
    "image_stack",  # a TIFF with several depths or times
    "image_pages",  # a TIFF with several images of one size, and no word of what they are
    "image_channels",  # a TIFF whose channels are not grey, or red, green and blue
    "image_values",  # values that are not finite, are negative, or have no known range
    "image_colours",  # a TIFF in colours that are not converted, such as CIELAB or raw sensor data
    "image_compression",  # a TIFF with a compression that is not decoded, such as JPEG 2000
]
"""Reason for the rejection of an image: it is empty, or not one image in colour or grey."""
