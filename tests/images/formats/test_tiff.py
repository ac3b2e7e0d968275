"""TIFFs as scanners and microscopes write them: the right pixels, or what the file is."""

import io
import random
import resource
import struct
import zlib
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import tifffile
from PIL import Image

from mint_ray.images.decode import open_rgb
from mint_ray.images.faults import Fault
from mint_ray.images.formats.tiff import tiff_size
from mint_ray.images.formats.tiff_pillow import pillow_page
from mint_ray.images.tiling import open_mask
from tests.cases.tiles.image_examples import encode, noise
from tests.conftest import SHARED_DATA

RGB = np.asarray(noise(48, 40))
GREY = np.asarray(noise(48, 40).convert("L"))
ALPHA = np.full_like(GREY, 255)
ALPHA[:8], ALPHA[8:16] = 0, 128
CHANNELS = np.moveaxis(RGB, -1, 0)
SMALL = np.asarray(noise(48, 40).resize((12, 10)))


def wide(values: np.ndarray, bits: int) -> np.ndarray:
    """8 bits as `bits` bits in 16: the highest value becomes the highest one."""
    return np.round(values * ((2**bits - 1) / 255)).astype(np.uint16)


def tiff(values: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def pages(*written: tuple[np.ndarray, dict[str, Any]], **options: Any) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file, **options) as writer:
        for values, settings in written:
            writer.write(values, **settings)
    return file.getvalue()


def pillow(image: Image.Image, compression: str, **options: Any) -> bytes:
    return encode(image, "TIFF", compression=compression, **options)


def ome(values: np.ndarray, axes: str, **metadata: Any) -> bytes:
    return tiff(values, ome=True, photometric="minisblack", metadata={"axes": axes, **metadata})


PALETTE = noise(48, 40).quantize(16)
COLOURS = np.array(PALETTE.getpalette()[:48], np.uint16).reshape(16, 3)
QUANTISED = np.asarray(PALETTE.convert("RGB"))
COLORMAP = np.zeros((3, 256), np.uint16)
COLORMAP[:, :16] = COLOURS.T


def white_behind(rgb: np.ndarray) -> np.ndarray:
    layer = Image.fromarray(np.dstack([rgb, ALPHA]))
    paper = Image.new("RGBA", layer.size, "white")
    return np.asarray(Image.alpha_composite(paper, layer).convert("RGB"))


COLOUR_FILES: dict[str, Callable[[], bytes]] = {
    "contiguous": lambda: tiff(RGB, photometric="rgb"),
    "planes": lambda: tiff(CHANNELS, photometric="rgb", planarconfig="separate"),
    "planes, deflate": lambda: tiff(CHANNELS, photometric="rgb", compression="zlib"),
    "tiled": lambda: tiff(RGB, photometric="rgb", tile=(16, 16)),
    "tiled, deflate, predictor": lambda: tiff(
        RGB, photometric="rgb", tile=(16, 32), compression="zlib", predictor=True
    ),
    "big-endian": lambda: tiff(RGB, photometric="rgb", byteorder=">"),
    "BigTIFF": lambda: tiff(RGB, photometric="rgb", bigtiff=True),
    "BigTIFF, big-endian": lambda: tiff(RGB, photometric="rgb", bigtiff=True, byteorder=">"),
    "OME channels": lambda: ome(CHANNELS, "CYX"),
    "OME channels of 12 bits": lambda: ome(wide(CHANNELS, 12), "CYX", SignificantBits=12),
    "OME in another order": lambda: ome(
        CHANNELS[::-1], "CYX", Channel={"Name": ["Blue", "Green", "Red"]}
    ),
    "OME colours in another order": lambda: ome(
        CHANNELS[::-1], "CYX", Channel={"Color": [0x0000FFFF, 0x00FF00FF, -16776961]}
    ),
    "OME samples": lambda: tiff(RGB, ome=True, photometric="rgb"),
    "OME pyramid": lambda: pages(
        (RGB, {"photometric": "rgb", "subifds": 1}),
        (SMALL, {"photometric": "rgb", "subfiletype": 1}),
        ome=True,
    ),
    "ImageJ channels": lambda: tiff(
        CHANNELS[None, None], imagej=True, metadata={"axes": "TZCYX", "mode": "composite"}
    ),
    "thumbnail first": lambda: pages(
        (SMALL, {"photometric": "rgb", "subfiletype": 1}), (RGB, {"photometric": "rgb"})
    ),
    "thumbnail first, unmarked": lambda: pages(
        (SMALL, {"photometric": "rgb"}), (RGB, {"photometric": "rgb"})
    ),
    "pyramid of pages": lambda: pages(
        (RGB, {"photometric": "rgb"}), (SMALL, {"photometric": "rgb"})
    ),
    "16 bits": lambda: tiff(wide(RGB, 16), photometric="rgb"),
    "16 bits, shifted": lambda: tiff(RGB.astype(np.uint16) << 8, photometric="rgb"),
    "14 bits": lambda: tiff(wide(RGB, 14), photometric="rgb"),
    "12 bits": lambda: tiff(wide(RGB, 12), photometric="rgb"),
    "12 bits, shifted": lambda: tiff(RGB.astype(np.uint16) << 4, photometric="rgb"),
    "12 bits, planes": lambda: tiff(wide(CHANNELS, 12), photometric="rgb"),
    "10 bits": lambda: tiff(wide(RGB, 10), photometric="rgb"),
    "8 bits in 16": lambda: tiff(RGB.astype(np.uint16), photometric="rgb"),
    "signed 16 bits": lambda: tiff(wide(RGB, 12).astype(np.int16), photometric="rgb"),
    "32 bits": lambda: tiff(RGB.astype(np.uint32) * 0x01010101, photometric="rgb"),
    "0 to 1": lambda: tiff((RGB / 255).astype(np.float32), photometric="rgb"),
    "0 to 1, 64 bits, deflate": lambda: tiff(RGB / 255, photometric="rgb", compression="zlib"),
    "0 to 1, 16 bits": lambda: tiff((RGB / 255).astype(np.float16), photometric="rgb"),
    "0 to 255": lambda: tiff(RGB.astype(np.float32), photometric="rgb"),
    "whole numbers of 12 bits": lambda: tiff(wide(RGB, 12).astype(np.float32), photometric="rgb"),
    "unknown extra sample": lambda: tiff(
        np.dstack([RGB, ALPHA]), photometric="rgb", extrasamples=["unspecified"]
    ),
    "LZW": lambda: pillow(Image.fromarray(RGB), "tiff_lzw"),
    "PackBits": lambda: pillow(Image.fromarray(RGB), "packbits"),
    "LZMA": lambda: pillow(Image.fromarray(RGB), "lzma"),
    "CMYK": lambda: encode(Image.fromarray(RGB).convert("CMYK"), "TIFF"),
    "CMYK, LZW": lambda: pillow(Image.fromarray(RGB).convert("CMYK"), "tiff_lzw"),
}

GREY_FILES: dict[str, Callable[[], bytes]] = {
    "8 bits": lambda: tiff(GREY, photometric="minisblack"),
    "16 bits": lambda: tiff(wide(GREY, 16), photometric="minisblack"),
    "12 bits": lambda: tiff(wide(GREY, 12), photometric="minisblack"),
    "12 bits, LZW": lambda: pillow(Image.fromarray(wide(GREY, 12)), "tiff_lzw"),
    "0 to 1": lambda: tiff((GREY / 255).astype(np.float32), photometric="minisblack"),
    "0 to 1, LZW": lambda: pillow(Image.fromarray((GREY / 255).astype(np.float32)), "tiff_lzw"),
    "white is 0": lambda: tiff(255 - GREY, photometric="miniswhite"),
    "white is 0, 16 bits": lambda: tiff(65535 - wide(GREY, 16), photometric="miniswhite"),
    "white is 0, reals": lambda: tiff((1 - GREY / 255).astype("f4"), photometric="miniswhite"),
    "white is 0, LZW": lambda: pillow(Image.fromarray(GREY), "tiff_lzw", tiffinfo={262: 0}),
    "one OME channel": lambda: ome(GREY[None], "CYX"),
}


@pytest.mark.parametrize("name", COLOUR_FILES)
def test_colours_are_those_of_the_reference(name: str) -> None:
    encoded = COLOUR_FILES[name]()
    image = open_rgb(encoded)
    assert isinstance(image, Image.Image), image
    assert np.array_equal(np.asarray(image), RGB)
    assert tiff_size(encoded) == image.size == (48, 40)


@pytest.mark.parametrize("name", GREY_FILES)
def test_greys_are_those_of_the_reference(name: str) -> None:
    image = open_rgb(GREY_FILES[name]())
    assert isinstance(image, Image.Image), image
    assert np.array_equal(np.asarray(image), np.dstack([GREY] * 3))


def test_jpeg_in_a_tiff_is_near_the_reference() -> None:
    smooth = Image.fromarray(SMALL).resize((48, 40), Image.Resampling.BICUBIC)
    for image, encoded in (
        (smooth, pillow(smooth, "jpeg", quality=95)),  # YCbCr with subsampling
        (smooth.convert("L"), pillow(smooth.convert("L"), "jpeg", quality=95)),
    ):
        decoded = open_rgb(encoded)
        assert isinstance(decoded, Image.Image)
        difference = np.asarray(decoded).astype(int) - np.asarray(image.convert("RGB"))
        assert np.abs(difference).mean() < 4


def test_uncompressed_ycbcr_is_read_without_subsampling_only() -> None:
    ycbcr = np.asarray(Image.fromarray(RGB).convert("YCbCr"))
    whole = tiff(ycbcr, photometric="ycbcr", subsampling=(1, 1))
    expected = Image.fromarray(ycbcr, "YCbCr").convert("RGB")
    assert np.array_equal(np.asarray(open_rgb(whole)), np.asarray(expected))
    halved = _changed(tiff(ycbcr, photometric="rgb"), PhotometricInterpretation=6)
    assert open_rgb(halved) == "image_colours"  # the default is half the colours


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("samples", [3, 4])
def test_pillow_gives_both_bytes_of_16_bits(order: str, samples: int) -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (40, 48, samples)).astype(np.uint16)
    for compression in (None, "zlib"):
        encoded = tiff(values, photometric="rgb", byteorder=order, compression=compression)
        with tifffile.TiffFile(io.BytesIO(encoded)) as file:
            decoded = pillow_page(file.pages[0], encoded)
        assert np.array_equal(decoded, values)


def test_black_and_white() -> None:
    black = np.asarray(Image.fromarray(GREY).convert("1"))
    expected = np.dstack([black * np.uint8(255)] * 3)
    for encoded in (
        tiff(black, photometric="minisblack"),
        tiff(~black, photometric="miniswhite"),
        pillow(Image.fromarray(black), "group4"),
        pillow(Image.fromarray(black), "tiff_lzw"),
    ):
        assert np.array_equal(np.asarray(open_rgb(encoded)), expected)


@pytest.mark.parametrize("table", [COLORMAP, COLORMAP * 257, COLORMAP << 8])
def test_palettes_of_8_and_of_16_bits(table: np.ndarray) -> None:
    numbers = np.asarray(PALETTE)
    for encoded in (
        tiff(numbers, photometric="palette", colormap=table),
        pillow(PALETTE, "tiff_lzw"),
    ):
        assert np.array_equal(np.asarray(open_rgb(encoded)), QUANTISED)


def test_transparent_parts_are_white() -> None:
    layers = np.dstack([RGB, ALPHA])
    expected = white_behind(RGB)
    for encoded in (
        tiff(layers, photometric="rgb", extrasamples=["unassalpha"]),
        tiff(np.moveaxis(layers, -1, 0), photometric="rgb", extrasamples=["unassalpha"]),
        tiff(wide(layers, 16), photometric="rgb", extrasamples=["unassalpha"]),
        pillow(Image.fromarray(layers), "tiff_lzw"),
    ):
        assert np.array_equal(np.asarray(open_rgb(encoded)), expected)
    multiplied = np.dstack([(RGB * (ALPHA[..., None] / 255)).round().astype(np.uint8), ALPHA])
    image = open_rgb(tiff(multiplied, photometric="rgb", extrasamples=["assocalpha"]))
    assert np.abs(np.asarray(image).astype(int) - expected).max() <= 1
    grey = tiff(
        np.dstack([GREY, ALPHA]),
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    assert np.array_equal(np.asarray(open_rgb(grey)), white_behind(np.dstack([GREY] * 3)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_orientation(orientation: int, compression: str) -> None:
    encoded = pillow(Image.fromarray(RGB), compression, tiffinfo={274: orientation})
    turned = {
        1: RGB,
        2: RGB[:, ::-1],
        3: RGB[::-1, ::-1],
        4: RGB[::-1],
        5: RGB.transpose(1, 0, 2),
        6: RGB.transpose(1, 0, 2)[:, ::-1],
        7: RGB.transpose(1, 0, 2)[::-1, ::-1],
        8: RGB.transpose(1, 0, 2)[::-1],
    }[orientation]
    image = open_rgb(encoded)
    assert isinstance(image, Image.Image)
    assert np.array_equal(np.asarray(image), turned)
    assert tiff_size(encoded) == image.size


def test_a_page_of_another_compression_is_taken_from_its_place() -> None:
    file = io.BytesIO()
    first = Image.fromarray(SMALL)
    first.save(
        file, "TIFF", compression="tiff_lzw", save_all=True, append_images=[Image.fromarray(RGB)]
    )
    assert np.array_equal(np.asarray(open_rgb(file.getvalue())), RGB)


@pytest.mark.parametrize("orientation", [1, 6])
def test_masks_keep_their_numbers(orientation: int) -> None:
    numbers = np.arange(40 * 48, dtype=np.uint16).reshape(40, 48)
    tag = ("Orientation", "H", 1, orientation, True)
    turned = np.rot90(numbers, -1) if orientation == 6 else numbers
    thumbnail = (numbers[::4, ::4], {"photometric": "minisblack"})
    for encoded in (
        tiff(numbers, photometric="minisblack", compression="zlib", extratags=[tag]),
        pages(thumbnail, (numbers, {"photometric": "minisblack", "extratags": [tag]})),
        pillow(Image.fromarray(numbers), "tiff_lzw", tiffinfo={274: orientation}),
    ):
        mask = open_mask(encoded)
        assert mask is not None
        assert np.array_equal(mask, turned)
    assert open_mask(tiff(np.stack([numbers] * 3), photometric="minisblack")) is None


def test_a_stated_range_counts_more_than_the_values() -> None:
    dark = np.minimum(RGB, 50)
    tag = ("SMaxSampleValue", "H", 3, (4095,) * 3, True)
    stated = tiff(wide(dark, 12), photometric="rgb", extratags=[tag])
    assert np.array_equal(np.asarray(open_rgb(stated)), dark)
    full = tiff(
        wide(np.minimum(RGB, 10), 16),
        photometric="rgb",
        extratags=[("SMaxSampleValue", "H", 3, (65535,) * 3, True)],
    )
    assert np.array_equal(np.asarray(open_rgb(full)), np.minimum(RGB, 10))


def _retagged(**values: int) -> bytes:
    return _changed(tiff(RGB, photometric="rgb"), **values)


NOT_ONE_IMAGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "OME depths": (lambda: ome(np.stack([GREY] * 5), "ZYX"), "image_stack"),
    "OME times": (lambda: ome(np.stack([GREY] * 3), "TYX"), "image_stack"),
    "OME depths of channels": (lambda: ome(np.stack([CHANNELS] * 2), "ZCYX"), "image_stack"),
    "ImageJ slices": (
        lambda: tiff(np.stack([GREY] * 4)[None, :, None], imagej=True, metadata={"axes": "TZCYX"}),
        "image_stack",
    ),
    "pages of one size": (
        lambda: tiff(np.stack([GREY] * 7), photometric="minisblack"),
        "image_pages",
    ),
    "three pages of one size": (
        lambda: pages(*[(GREY, {"photometric": "minisblack", "contiguous": False})] * 3),
        "image_pages",
    ),
    "colour pages": (lambda: tiff(np.stack([RGB] * 3), photometric="rgb"), "image_pages"),
    "image and mask": (
        lambda: pages((RGB, {"photometric": "rgb"}), (GREY, {"photometric": "minisblack"})),
        "image_pages",
    ),
    "two channels": (lambda: ome(CHANNELS[:2], "CYX"), "image_channels"),
    "five channels": (lambda: ome(np.stack([GREY] * 5), "CYX"), "image_channels"),
    "dyes": (
        lambda: ome(CHANNELS, "CYX", Channel={"Name": ["DAPI", "FITC", "Cy5"]}),
        "image_channels",
    ),
    "five samples": (
        lambda: tiff(np.dstack([RGB, GREY, GREY]), photometric="rgb"),
        "image_channels",
    ),
    "two samples": (
        lambda: tiff(
            RGB[..., :2],
            photometric="minisblack",
            planarconfig="contig",
            extrasamples=["unspecified"],
        ),
        "image_channels",
    ),
    "negative": (lambda: tiff(GREY.astype("f4") - 100, photometric="minisblack"), "image_values"),
    "negative integers": (
        lambda: tiff(GREY.astype(np.int16) - 100, photometric="minisblack"),
        "image_values",
    ),
    "not finite": (
        lambda: tiff(np.where(GREY < 20, np.nan, GREY).astype("f4"), photometric="minisblack"),
        "image_values",
    ),
    "reals of any size": (
        lambda: tiff(GREY.astype("f4") * 3.7, photometric="minisblack"),
        "image_values",
    ),
    "complex": (lambda: tiff(GREY.astype("c8"), photometric="minisblack"), "image_values"),
    "white is 0, of unknown bits": (
        lambda: tiff(4095 - wide(GREY, 12), photometric="miniswhite"),
        "image_values",
    ),
    "CIELAB": (
        lambda: _retagged(PhotometricInterpretation=8),
        "image_colours",
    ),
    "raw sensor data": (lambda: tiff(GREY, photometric="cfa"), "image_colours"),
    "JPEG 2000": (
        lambda: _retagged(Compression=33005),
        "image_compression",
    ),
    "JPEG XL": (
        lambda: _retagged(Compression=52546),
        "image_compression",
    ),
    "cut short": (lambda: tiff(RGB, photometric="rgb")[:-500], "image_unreadable"),
    "cut short, deflate": (
        lambda: tiff(RGB, photometric="rgb", compression="zlib")[:-500],
        "image_unreadable",
    ),
    "cut short, LZW": (
        lambda: encode(Image.fromarray(RGB), "TIFF", compression="tiff_lzw")[:3000],
        "image_unreadable",
    ),
    "not LZW": (lambda: _retagged(Compression=5), "image_unreadable"),
    "a header alone": (lambda: b"II*\0\x08\0\0\0", "image_unreadable"),
}


@pytest.mark.parametrize("name", NOT_ONE_IMAGE)
def test_what_is_not_one_image_is_said(name: str) -> None:
    write, reason = NOT_ONE_IMAGE[name]
    assert open_rgb(write()) == reason


def test_a_mask_without_numbers_is_refused() -> None:
    assert open_mask(tiff(np.full((40, 48), np.nan, np.float32))) is None
    assert open_mask(tiff(np.full((40, 48), 1e30, np.float32))) is None


@pytest.mark.parametrize("seed", range(300))
def test_damaged_files_are_decoded_or_refused(seed: int) -> None:
    """A few bytes of the header, the tags or the values are changed."""
    draw = random.Random(seed)
    encoded = bytearray(draw.choice([*COLOUR_FILES.values(), *GREY_FILES.values()])())
    for _ in range(draw.randint(1, 6)):
        encoded[draw.randrange(min(len(encoded), 600))] = draw.randrange(256)
    image, size = open_rgb(bytes(encoded)), tiff_size(bytes(encoded))
    if isinstance(image, str):
        assert image in get_args(Fault)
    else:
        assert (image.mode, image.size) == ("RGB", size)


def test_no_other_file_is_opened(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """OME-XML that names a plane of another file."""
    tifffile.imwrite(tmp_path / "other.ome.tif", GREY, photometric="minisblack")
    monkeypatch.chdir(tmp_path)
    encoded = ome(CHANNELS, "CYX")
    xml = tifffile.TiffFile(io.BytesIO(encoded)).ome_metadata
    assert xml is not None
    tail = '<TiffData IFD="0" PlaneCount="3"/>'
    assert tail in xml
    parts = "".join(
        f'<TiffData FirstC="{c}" IFD="0" PlaneCount="1"><UUID FileName="other.ome.tif">'
        f"urn:uuid:1</UUID></TiffData>"
        for c in (1, 2)
    )
    changed = xml.replace(tail, f'<TiffData IFD="0" PlaneCount="1"/>{parts}')
    image = open_rgb(tiff(GREY, description=changed.encode(), metadata=None))
    assert image == "image_unreadable"


def _changed(encoded: bytes, **values: int) -> bytes:
    """The file with other numbers in tags that hold one."""
    changed = bytearray(encoded)
    with tifffile.TiffFile(io.BytesIO(encoded)) as file:
        for name, value in values.items():
            tag = file.pages[0].tags[name]  # type: ignore[union-attr]
            kind = {3: "<H", 4: "<I"}[int(tag.dtype)]
            struct.pack_into(kind, changed, tag.valueoffset, value)
    return bytes(changed)


def _bomb() -> bytes:
    """512 MB of zeros where 5 kB are expected, in 2 MB."""
    squeeze, block = zlib.compressobj(1), bytes(2**24)
    content = b"".join(squeeze.compress(block) for _ in range(32)) + squeeze.flush()
    encoded = tiff(RGB, photometric="rgb", compression="zlib", rowsperstrip=40)
    return _changed(encoded, StripOffsets=len(encoded), StripByteCounts=len(content)) + content


BOMBS: dict[str, Callable[[], bytes]] = {
    "deflate": _bomb,
    "image": lambda: _changed(
        tiff(RGB, photometric="rgb", metadata=None), ImageWidth=60_000, ImageLength=60_000
    ),
    "tile": lambda: _changed(
        tiff(RGB, photometric="rgb", tile=(48, 48)), TileWidth=60_000, TileLength=60_000
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_no_memory(name: str) -> None:
    encoded = BOMBS[name]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert open_rgb(encoded) == "image_too_large"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # kB


FIELD = SHARED_DATA.parent / "field" / "images"


@pytest.mark.skipif(not FIELD.is_dir(), reason="no field inputs in ../shared")
@pytest.mark.parametrize(
    ("name", "grey"),
    [
        ("01_ome_cyx.ome.tif", False),
        ("03_rgb12in16.tif", False),
        ("04_grey12in16.tif", True),
        ("05_float01_grey.tif", True),
        ("06_miniswhite16.tif", True),
        ("06_miniswhite8.tif", True),
        ("07_thumbnail_first.tif", False),
    ],
)
def test_the_images_of_the_field(name: str, grey: bool) -> None:
    reference = np.asarray(open_rgb((FIELD / "00_reference.png").read_bytes()))
    image = np.asarray(open_rgb((FIELD / name).read_bytes())).astype(int)
    if grey:  # the mean of the three colours
        assert np.abs(image.mean(-1) - reference.mean(-1)).max() < 1
    else:
        assert np.array_equal(image, reference)
