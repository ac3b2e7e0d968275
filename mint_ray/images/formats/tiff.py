"""TIFF images: the one image in colour or in grey that a file holds, or what it holds instead.

A TIFF can hold thumbnails, pyramids, channels, depths and times, in many kinds of values. tifffile
reads what the file is and the pixels that it can decode alone; Pillow decodes other compressions.
"""

import io
import logging
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import COMPRESSION as CODEC
from tifffile import PHOTOMETRIC, PREDICTOR, TiffFile, TiffPage, TiffPageSeries

from mint_ray.images.faults import (
    CHANNELS,
    COLOURS,
    MAX_PIXELS,
    PAGES,
    STACK,
    TOO_LARGE,
    UNREADABLE,
    Fault,
)
from mint_ray.images.formats.ome import channel_order, significant_bits
from mint_ray.images.formats.tiff_colours import CLEAR, SAMPLES, Samples, to_rgb
from mint_ray.images.formats.tiff_pillow import pillow_page

_MAGIC: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAX_BYTES: Final = 512 * 2**20  # of a decoded image, and of a tile or strip of it
_REDUCED, _MASK = 1, 4  # bits of the tag NewSubfileType
_DEPTH_AXES = frozenset("ZTRPHEVLAM")  # axes of tifffile with a meaning; Q and I have none
_GREY = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE)
_OWN_CODECS = (CODEC.NONE, CODEC.DEFLATE, CODEC.ADOBE_DEFLATE)
_LARGEST = ("SMaxSampleValue", "MaxSampleValue")
_SIDEWAYS, _UPSIDE_DOWN, _MIRRORED = (5, 6, 7, 8), (3, 4, 7, 8), (2, 3, 6, 7)

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # its lines may quote a file's text


class _Chosen(NamedTuple):
    """The image of a file at its full resolution; `planes` are its pages, one for each channel."""

    page: TiffPage
    planes: tuple[Any, ...]
    order: tuple[int, ...]
    largest: float | None

    @property
    def orientation(self) -> int:
        """How the image is turned and mirrored, from 1 (upright) to 8."""
        tag = self.page.tags.get("Orientation")
        return int(tag.value) if tag is not None else 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright image."""
        width, height = int(self.page.imagewidth), int(self.page.imagelength)
        return (height, width) if self.orientation in _SIDEWAYS else (width, height)


def is_tiff(encoded: bytes) -> bool:
    """Return whether a file is a TIFF or a BigTIFF by its first bytes."""
    return encoded[:4] in _MAGIC


def open_tiff(encoded: bytes) -> Image.Image | Fault:
    """Decode a TIFF upright and in RGB, or return why it is not one image.

    The largest image is decoded; smaller ones are thumbnails or levels of a pyramid. Three
    channels on pages of their own are red, green and blue, or what OME states. Values are reduced
    by `to_8_bits`, with the largest value or the bits that the file states. Transparent parts
    become white.
    """
    try:
        with _opened(encoded) as file:
            chosen = _choose(file)
            return chosen if isinstance(chosen, str) else _decode(chosen, encoded)
    except Exception:  # damaged files raise nearly anything
        return UNREADABLE


def tiff_values(encoded: bytes) -> NDArray[Any] | Fault:
    """Return (height, width[, samples]) of the upright values as they are in the file.

    The image is that of `open_tiff`, and the reasons are.
    """
    try:
        with _opened(encoded) as file:
            chosen = _choose(file)
            values = chosen if isinstance(chosen, str) else _values(chosen, encoded)
            return np.asarray(values) if isinstance(values, Image.Image) else values
    except Exception:  # damaged files raise nearly anything
        return UNREADABLE


def tiff_size(encoded: bytes) -> tuple[int, int] | Fault:
    """Return width and height of what `open_tiff` decodes, or a reason; decode nothing."""
    try:
        with _opened(encoded) as file:
            chosen = _choose(file)
            if isinstance(chosen, str):
                return chosen
            return chosen.size
    except Exception:  # damaged files raise nearly anything
        return UNREADABLE


@contextmanager
def _opened(encoded: bytes) -> Iterator[TiffFile]:
    # OME can name other files, which are never opened.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is refused
        with TiffFile(io.BytesIO(encoded), _multifile=False) as file:
            yield file


def _choose(file: TiffFile) -> _Chosen | Fault:
    """Return the largest image of a file, or why there is not one."""
    series = [item for item in file.series if {"Y", "X"} <= set(item.axes)]
    whole = [item for item in series if not _subfile_type(item) & (_REDUCED | _MASK)] or series
    if not whole:
        return UNREADABLE
    areas = [_area(item) for item in whole]
    if areas.count(max(areas)) > 1:
        return PAGES
    return _as_one_image(file, whole[areas.index(max(areas))])


def _subfile_type(series: TiffPageSeries) -> int:
    tag = series.keyframe.tags.get("NewSubfileType")
    return int(tag.value) if tag is not None else 0


def _area(series: TiffPageSeries) -> int:
    return int(series.keyframe.imagewidth) * int(series.keyframe.imagelength)


def _as_one_image(file: TiffFile, series: TiffPageSeries) -> _Chosen | Fault:
    page, planes = series.keyframe, tuple(series.pages)
    axes = zip(series.axes, series.shape, strict=True)
    sizes = {axis: size for axis, size in axes if size > 1 and axis not in "YX"}
    channels, samples = sizes.pop("C", 1), sizes.pop("S", 1)
    if sizes:
        return STACK if set(sizes) & _DEPTH_AXES else PAGES
    pixels = page.imagewidth * page.imagelength
    whole_bytes = pixels * page.samplesperpixel * channels * _item_bytes(page)
    if pixels > MAX_PIXELS or max(whole_bytes, _part_bytes(page)) > _MAX_BYTES:
        return TOO_LARGE
    if page.photometric not in SAMPLES:
        return COLOURS
    image = next(number for number, item in enumerate(file.series) if item is series)
    order = (0,) if channels == 1 else channel_order(file.ome_metadata, image, channels)
    if order is None or channels not in (1, 3) or not _are_colours(page, channels, samples):
        return CHANNELS
    missing = len(planes) != channels or any(plane is None for plane in planes)
    if missing or (file.is_ome and series.kind != "ome" and page.photometric in _GREY):
        return UNREADABLE  # channels that OME names are in another file
    return _Chosen(page, planes, order, _largest(file, image, page))


def _are_colours(page: TiffPage, channels: int, samples: int) -> bool:
    """Return whether the samples of a page are its colours, at most with one of transparency."""
    base = SAMPLES[page.photometric]
    if channels > 1:
        return samples == 1 and page.photometric in _GREY
    if base == 1 and samples == 2:
        return page.extrasamples[0] in CLEAR if page.extrasamples else False
    return samples - base in (0, 1)


def _largest(file: TiffFile, image: int, page: TiffPage) -> float | None:
    """Return the largest value that can occur, None where the file does not state it."""
    bits = significant_bits(file.ome_metadata, image)
    if bits is None and page.bitspersample in (10, 12, 14):
        bits = page.bitspersample
    if bits is not None:
        return 2.0**bits - 1
    for name in _LARGEST:
        if (tag := page.tags.get(name)) is not None:
            return float(np.max(tag.value))
    return None


def _decode(chosen: _Chosen, encoded: bytes) -> Image.Image | Fault:
    values = _values(chosen, encoded)
    if isinstance(values, (str, Image.Image)):
        return values
    rgb = to_rgb(Samples(values, chosen.page, len(chosen.planes) > 1, chosen.largest))
    return rgb if isinstance(rgb, str) else Image.fromarray(rgb)


def _values(chosen: _Chosen, encoded: bytes) -> NDArray[Any] | Image.Image | Fault:
    """Return (height, width[, samples]) of upright values, or what `pillow_page` returns."""
    own, planes = _is_own(chosen.page), []
    for plane in chosen.planes:
        decode = _own_values if own else pillow_page
        values = decode(plane, encoded)
        if isinstance(values, (str, Image.Image)):
            return values
        upright = _upright(values, chosen.orientation) if own else values
        if upright.shape[1::-1] != chosen.size:
            return UNREADABLE  # tags that contradict one another
        planes.append(upright)
    return np.dstack([planes[i] for i in chosen.order]) if len(planes) > 1 else planes[0]


def _upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn and mirror an image as the tag Orientation (1 to 8) asks."""
    if orientation in _SIDEWAYS:
        values = np.swapaxes(values, 0, 1)
    if orientation in _UPSIDE_DOWN:
        values = values[::-1]
    return np.ascontiguousarray(values[:, ::-1] if orientation in _MIRRORED else values)


def _is_own(page: TiffPage) -> bool:
    """Return whether tifffile alone decodes a page."""
    whole_bytes = page.bitspersample in (8, 16, 32, 64) or (
        page.bitspersample == 1 and page.compression == CODEC.NONE
    )
    return (
        page.compression in _OWN_CODECS
        and whole_bytes
        and page.predictor in (PREDICTOR.NONE, PREDICTOR.HORIZONTAL)
        and page.photometric != PHOTOMETRIC.YCBCR
    )


def _part_bytes(page: TiffPage) -> int:
    """Return the size of a decoded tile or strip."""
    return int(np.prod(page.chunks, dtype=float)) * _item_bytes(page)


def _item_bytes(page: TiffPage) -> int:
    return page.dtype.itemsize if page.dtype is not None else 1


def _own_values(plane: Any, encoded: bytes) -> NDArray[Any] | Fault:
    """Decode a page, whose tiles or strips are checked first, as (height, width[, samples])."""
    page = plane.keyframe
    part = _part_bytes(page)
    for offset, count in zip(plane.dataoffsets, plane.databytecounts, strict=True):
        if not count or offset + count > len(encoded):
            return UNREADABLE  # cut short, or with gaps
        if page.compression != CODEC.NONE:
            inflate = zlib.decompressobj()
            inflate.decompress(encoded[offset : offset + count], part + 1)
            if not inflate.eof:
                return TOO_LARGE if inflate.unconsumed_tail else UNREADABLE
    values: NDArray[Any] = plane.asarray()
    if page.samplesperpixel > 1 and values.ndim == 3 and page.planarconfig == 2:
        values = np.moveaxis(values, 0, -1)
    return values
