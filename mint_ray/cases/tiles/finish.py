"""Completion of tile cases: images, rejections of empty tiles, and descriptions."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mint_ray.cases.tiles.case_table import TileTable
from mint_ray.cases.tiles.drawn import DrawnTiles
from mint_ray.cases.tiles.folder import image_source
from mint_ray.cases.tiles.pannuke import PanNuke
from mint_ray.cases.tiles.source import TileImage, TileRef, TileSource
from mint_ray.config.cases import CasesConfig
from mint_ray.images.decode import tile_fault
from mint_ray.images.faults import BLANK
from mint_ray.images.morphology import LUMEN_BRIGHTNESS, describe, measure

EMPTY_SHARE = 0.98
"""A tile with a larger share of empty slide than this is blank, whatever the scanner's noise."""

MEASURED_SIDE = 1024
"""Side, in pixels, of the square in the middle of a larger image that is measured."""


class FinishedTile(NamedTuple):
    """A tile's image and description, or the reason for its rejection."""

    image: bytes | None
    description: str
    reason: str | None


def tile_source(config: CasesConfig, seed: int) -> TileSource:
    """Return the configured source of tiles.

    Raises:
        ConfigError, DataError: the source cannot be used.
    """
    path = Path(str(config.path))
    if config.source == "tiles":
        return DrawnTiles(config.tiles, seed)
    if config.source == "pannuke":
        return PanNuke(path, config.images.official_splits)
    if config.source == "parquet":
        return TileTable(path)
    return image_source(path, config.images)


def finish_tiles(
    refs: Sequence[TileRef], source: TileSource, config: CasesConfig
) -> list[FinishedTile]:
    """Open and describe tiles, in the order given; each depends only on itself."""
    images = source.read_tiles(refs)
    return [_finish(ref, image, config) for ref, image in zip(refs, images, strict=True)]


def _finish(ref: TileRef, tile: TileImage | str, config: CasesConfig) -> FinishedTile:
    if isinstance(tile, str):
        return FinishedTile(None, "", tile)
    fault = tile_fault(tile.image)
    if fault is None and _is_empty_slide(tile):
        fault = BLANK
    if fault is not None:
        return FinishedTile(None, "", fault)
    description = ref.description
    if not description and config.description == "morphology":
        description = _describe(tile)
    return FinishedTile(tile.encoded, description, None)


def _is_empty_slide(tile: TileImage) -> bool:
    small = tile.image.reduce(max(1, min(tile.image.size) // 128))  # averages noise out
    empty = np.asarray(small).min(-1) > 255 * LUMEN_BRIGHTNESS
    return float(empty.mean()) > EMPTY_SHARE


def _describe(tile: TileImage) -> str:
    rgb, mask = np.asarray(tile.image), tile.mask
    top, left = (max(0, (length - MEASURED_SIDE) // 2) for length in rgb.shape[:2])
    window = (slice(top, top + MEASURED_SIDE), slice(left, left + MEASURED_SIDE))
    return describe(measure(rgb[window], None if mask is None else mask[window]))
