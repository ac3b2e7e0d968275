"""Drawn tiles: the same seed gives the same pixels, and they look stained."""

import numpy as np
import pytest

from mint_ray.cases.tiles.drawn import DrawnTiles
from mint_ray.cases.tiles.finish import finish_tiles
from mint_ray.cases.tiles.source import TileImage, TileRef
from mint_ray.config.cases import CasesConfig, TilesConfig
from mint_ray.errors import ConfigError
from mint_ray.images.decode import open_tile
from mint_ray.images.morphology import measure
from mint_ray.images.tissue.drawing import render_tile
from mint_ray.images.tissue.patients import draw_patient
from mint_ray.images.tissue.types import TISSUES

SMALL = TilesConfig(tissues=3, patients_per_tissue=3, tiles_per_patient=2, side=64)


def list_tiles(source: DrawnTiles) -> list[TileRef]:
    return [place for place in source.list_tiles() if isinstance(place, TileRef)]


def test_a_tile_depends_on_its_seed_alone() -> None:
    source, again, other = DrawnTiles(SMALL, 0), DrawnTiles(SMALL, 0), DrawnTiles(SMALL, 1)
    listed = list_tiles(source)
    assert len(listed) == len({place.case_id for place in listed}) == 3 * 3 * 2
    forwards = [p.encoded for p in source.read_tiles(listed) if isinstance(p, TileImage)]
    backwards = [p.encoded for p in again.read_tiles(listed[::-1]) if isinstance(p, TileImage)]
    assert forwards == backwards[::-1]
    assert len(set(forwards)) == len(listed)
    (changed,) = other.read_tiles(listed[:1])
    assert isinstance(changed, TileImage)
    assert changed.encoded != forwards[0]


@pytest.mark.parametrize("tissue", TISSUES, ids=lambda tissue: tissue.name)
def test_every_tissue_is_pink_with_purple_nuclei(tissue) -> None:  # type: ignore[no-untyped-def]
    rgb, nuclei = render_tile(draw_patient(tissue, 1.0, 5), 160, 7)
    assert rgb.shape == (160, 160, 3)
    assert nuclei.shape == (160, 160)
    inside = nuclei > 0
    assert 0.02 < inside.mean() < 0.6
    outside = rgb[~inside].mean(0)
    assert rgb[inside].mean() < outside.mean()
    assert outside[1] < outside[0]  # eosin takes the green
    found = measure(rgb, nuclei)
    assert found.haematoxylin > measure(rgb, ~inside).haematoxylin


def test_without_variation_patients_are_alike() -> None:
    first, second = (draw_patient(TISSUES[0], 0.0, seed) for seed in (1, 2))
    assert first.tissue == second.tissue == TISSUES[0]
    assert np.array_equal(first.stains, second.stains)
    assert not np.array_equal(first.stains, draw_patient(TISSUES[0], 1.0, 1).stains)


def test_tiles_are_described_without_their_tissue() -> None:
    config = CasesConfig(source="tiles", tiles=SMALL)
    source = DrawnTiles(SMALL, 0)
    listed = list_tiles(source)
    for place, done in zip(listed, finish_tiles(listed, source, config), strict=True):
        assert not isinstance(open_tile(done.image), str)
        assert done.description.startswith("H&E tile")
        assert place.label_name.lower() not in done.description.lower()
    plain = CasesConfig(source="tiles", tiles=SMALL, description="none")
    assert finish_tiles(listed[:1], source, plain)[0].description == ""


def test_more_tissues_than_there_are() -> None:
    with pytest.raises(ConfigError, match="expected at most 12"):
        DrawnTiles(TilesConfig(tissues=40), 0)
