"""Colours of stained tissue: drawn tiles under many laboratories' stains, and photographs."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from mint_ray.cases.tiles.drawn import DrawnTiles
from mint_ray.config.cases import TilesConfig
from mint_ray.images.decode import open_rgb
from mint_ray.images.stain import shift_stain
from mint_ray.images.stained import looks_stained, stained_share


def drawn(count: int) -> list[Image.Image]:
    tiles = DrawnTiles(TilesConfig(), 0)
    refs = list(tiles.list_tiles())
    images = []
    for tile in tiles.read_tiles(refs[:: len(refs) // count][:count]):
        assert not isinstance(tile, str)
        image = open_rgb(tile.encoded)
        assert not isinstance(image, str)
        images.append(image)
    return images


def test_drawn_tiles_look_stained_under_most_stains() -> None:
    rng = np.random.default_rng(0)
    tiles = drawn(15)
    assert all(looks_stained(np.asarray(tile)) for tile in tiles)
    shifted = [shift_stain(tile, rng) for tile in tiles for _ in range(4)]
    assert np.mean([looks_stained(np.asarray(tile)) for tile in shifted]) >= 0.95


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "camera", "page"])
def test_photographs_do_not(name: str) -> None:
    pixels = getattr(data, name)()
    assert not looks_stained(np.asarray(Image.fromarray(pixels).convert("RGB")))


def test_another_stain_does_not() -> None:
    assert not looks_stained(data.immunohistochemistry())


def test_an_empty_slide_cannot_be_judged() -> None:
    assert stained_share(np.full((32, 32, 3), 245, np.uint8)) is None
    assert not looks_stained(np.full((32, 32, 3), 255, np.uint8))
    assert stained_share(np.full((32, 32, 3), (225, 160, 190), np.uint8)) == 1.0
