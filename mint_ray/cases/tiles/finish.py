"""Finishes tiles: opens them, turns away what shows nothing, describes the rest."""

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
from mint_ray.images.decode import BLANK, tile_fault
from mint_ray.images.morphology import LUMEN_BRIGHTNESS, describe, measure

EMPTY_SHARE = 0.98
"""A tile of which more than this share is empty slide is blank, whatever the scanner's noise."""

MEASURED_SIDE = 1024
"""Of a larger image the middle is measured, in pixels."""


class FinishedTile(NamedTuple):
    """A tile's image and description, or the reason why there is none."""

    image: bytes | None
    description: str
    reason: str | None


def tile_source(config: CasesConfig, seed: int) -> TileSource:
    """The configured source of tiles.

    Raises:
        ConfigError, DataError: it cannot be used.
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
    places: Sequence[TileRef], source: TileSource, config: CasesConfig
) -> list[FinishedTile]:
    """Open and describe tiles, in the order given; each depends on itself alone."""
    opened = source.read_tiles(places)
    return [_finish(place, found, config) for place, found in zip(places, opened, strict=True)]


def _finish(place: TileRef, found: TileImage | str, config: CasesConfig) -> FinishedTile:
    if isinstance(found, str):
        return FinishedTile(None, "", found)
    fault = tile_fault(found.image)
    if fault is None and _is_empty_slide(found):
        fault = BLANK
    if fault is not None:
        return FinishedTile(None, "", fault)
    description = place.description
    if not description and config.description == "morphology":
        description = _describe(found)
    return FinishedTile(found.encoded, description, None)


def _is_empty_slide(picture: TileImage) -> bool:
    small = picture.image.reduce(max(1, min(picture.image.size) // 128))  # averages noise out
    empty = np.asarray(small).min(-1) > 255 * LUMEN_BRIGHTNESS
    return float(empty.mean()) > EMPTY_SHARE


def _describe(picture: TileImage) -> str:
    rgb, mask = np.asarray(picture.image), picture.mask
    top, left = (max(0, (length - MEASURED_SIDE) // 2) for length in rgb.shape[:2])
    window = (slice(top, top + MEASURED_SIDE), slice(left, left + MEASURED_SIDE))
    return describe(measure(rgb[window], None if mask is None else mask[window]))
