"""What is measured on drawn discs of known size, and what is said of it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mint_ray.images.morphology import Morphology, describe, measure

PINK, PURPLE, WHITE = (225, 150, 195), (90, 60, 140), (245, 244, 246)


def tissue(radius: float = 12.0, spacing: int = 40, stretch: float = 1.0) -> NDArray[np.uint8]:
    """Purple ellipses on a grid over pink, 160 pixels; the right quarter is empty slide."""
    y, x = np.mgrid[:160, :160]
    v, u = (y % spacing) - spacing / 2, (x % spacing) - spacing / 2
    inside = np.hypot(v / stretch, u * stretch) < radius
    rgb = np.where(inside[..., None], PURPLE, PINK)
    rgb[:, 120:] = WHITE
    return rgb.astype(np.uint8)


def discs(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (rgb == PURPLE).all(-1)


@pytest.mark.parametrize("masked", [True, False])
def test_discs_are_measured(masked: bool) -> None:
    rgb = tissue()
    found = measure(rgb, discs(rgb) if masked else None)
    assert found.nuclei == 12
    assert found.density == pytest.approx(12 / (40 * 40) * 1e6)  # a tile of 40 µm
    assert found.area == pytest.approx(np.pi * 3.0**2, rel=0.2)  # 12 pixels are 3 µm
    assert found.eccentricity < 0.2
    assert found.area_spread < 0.1
    assert found.lumen == pytest.approx(0.25, abs=0.02)
    assert found.lumen + found.stroma < 1
    assert found.haematoxylin > 3


def test_numbers_of_a_mask_keep_touching_nuclei_apart() -> None:
    mask = np.zeros((64, 64), np.uint16)
    mask[10:20, 10:30], mask[20:30, 10:30] = 7, 40_000
    assert measure(np.full((64, 64, 3), PINK, np.uint8), mask).nuclei == 2


def test_touching_discs_are_parted() -> None:
    rgb = tissue(radius=20, spacing=39)
    assert measure(rgb).nuclei == pytest.approx(measure(rgb, discs(rgb)).nuclei, abs=1)
    assert measure(rgb).nuclei >= 12


def test_scale_and_shape() -> None:
    fine, coarse = measure(tissue()), measure(tissue(), microns_per_pixel=0.5)
    assert coarse.area == pytest.approx(4 * fine.area, rel=0.1)
    assert measure(tissue(stretch=1.3)).eccentricity > 0.7


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("colour", [WHITE, PINK, PURPLE, (0, 0, 0), (255, 255, 255)])
def test_plain_images_have_no_nuclei(colour: tuple[int, int, int]) -> None:
    found = measure(np.full((64, 64, 3), colour, np.uint8))
    assert found.nuclei == 0
    assert "without nuclei" in describe(found)
    assert all(np.isfinite(value) for value in vars(found).values())


def test_noise_is_survived() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert np.isfinite(measure(noise).area)


def test_words_follow_the_numbers() -> None:
    values = dict.fromkeys(Morphology.__dataclass_fields__, 0.5)
    small = Morphology(**{**values, "nuclei": 30, "area": 15.2, "density": 9000.4})
    large = Morphology(**{**values, "nuclei": 3, "area": 80.0, "density": 1000.0})
    assert describe(small) == describe(small)
    assert "small" in describe(small)
    assert "area 15 um2" in describe(small)
    assert "dense (9000/mm2)" in describe(small)
    assert "very large" in describe(large)
    assert "sparse" in describe(large)
