"""Layout of a drawn tile: positions of glands and nuclei. Lengths are in pixels."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mint_ray.common.arrays import Bools, Floats
from mint_ray.images.tissue.types import Tissue

_TRIES = 6  # candidates drawn for each wanted gland or nucleus


class Glands(NamedTuple):
    """Glands of a tile; the fields have one entry per gland."""

    y: Floats
    x: Floats
    radius: Floats
    waves: Floats
    """(n, 4) amplitude and phase of two waves of the outline."""

    def reach(self, y: Floats, x: Floats) -> tuple[Floats, NDArray[np.intp]]:
        """Return distances to the nearest gland's centre over its radius, and that gland's index.

        Both have the shape of `y` and `x`. Below 1 a point lies inside the gland. Without glands
        the distance is infinite and the index 0.
        """
        shape = np.shape(y)
        if not len(self.y):
            return np.full(shape, np.inf), np.zeros(shape, np.intp)
        dy, dx = y[None] - _column(self.y, y), x[None] - _column(self.x, x)
        angle = np.arctan2(dy, dx)
        first, second = (_column(self.waves[:, i], y) for i in (0, 1))
        outline = (
            1
            + first * np.cos(2 * angle + _column(self.waves[:, 2], y))
            + second * np.cos(3 * angle + _column(self.waves[:, 3], y))
        )
        away = np.hypot(dy, dx) / (_column(self.radius, y) * outline)
        nearest = away.argmin(0)
        return np.take_along_axis(away, nearest[None], 0)[0], nearest


class Nuclei(NamedTuple):
    """Nuclei of a tile; the fields have one entry per nucleus."""

    y: Floats
    x: Floats
    radius: Floats
    axis_ratio: Floats
    angle: Floats


def place_glands(tissue: Tissue, side: int, per_pixel: float, rng: np.random.Generator) -> Glands:
    """Place glands that hardly overlap; their number is Poisson, the frame exceeds the tile."""
    mean = tissue.gland_radius / per_pixel
    wanted = rng.poisson(tissue.glands * ((side + mean) / (224 + mean)) ** 2)
    radius = mean * np.exp(0.15 * rng.standard_normal(wanted * _TRIES))
    y, x = rng.uniform(-mean / 2, side + mean / 2, (2, wanted * _TRIES))
    kept = _apart(y, x, 0.95 * radius, wanted)
    n = len(kept)
    waves = np.concatenate(
        [0.1 * rng.standard_normal((n, 2)), rng.uniform(0, 2 * np.pi, (n, 2))], 1
    )
    return Glands(y[kept], x[kept], radius[kept], waves)


def place_nuclei(
    tissue: Tissue,
    glands: Glands,
    empty: Bools,
    direction: Floats,
    per_pixel: float,
    rng: np.random.Generator,
) -> Nuclei:
    """Place nuclei along the walls of glands, and scatter others outside glands and spaces.

    Args:
        empty: (side, side), true in empty space.
        direction: (side, side) angle of the fibres, in radians.
    """
    side = len(empty)
    mean = tissue.nucleus / per_pixel
    wall_y, wall_x, wall_angle = _along_walls(tissue, glands, mean, rng)
    wanted = rng.poisson(tissue.density * (side * per_pixel / 1000) ** 2)
    y, x = rng.uniform(0, side, (2, wanted * _TRIES))
    rows, columns = y.astype(int), x.astype(int)
    inside = (glands.reach(y, x)[0] < 1.12) | empty[rows, columns]
    fibre_angle = direction[rows, columns] + (1 - tissue.alignment) * rng.uniform(-1.6, 1.6, len(y))
    # Scattered nuclei keep their density: glands and spaces reduce their number.
    wanted = round(wanted * float((~inside).mean())) if len(y) else 0
    y = np.concatenate([wall_y, y[~inside]])
    x = np.concatenate([wall_x, x[~inside]])
    angle = np.concatenate([wall_angle, fibre_angle[~inside]])
    radius = mean * (1 + tissue.spread * rng.standard_normal(len(y))).clip(0.55, 2.0)
    ratio = 1 + (tissue.elongation - 1) * np.exp(0.25 * rng.standard_normal(len(y)))
    # Walls first: scattered nuclei keep clear of them.
    kept = _apart(y, x, 0.95 * radius, len(wall_y) + wanted, squeezed=len(wall_y))
    return Nuclei(y[kept], x[kept], radius[kept], ratio[kept], angle[kept])


def _along_walls(
    tissue: Tissue, glands: Glands, mean: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Return centres and angles of the nuclei in gland walls, long axes towards the lumen."""
    parts = [np.zeros((3, 0))]
    # Tall nuclei stand side by side on their short axes.
    width = 2.1 * mean / np.sqrt(tissue.elongation) / tissue.crowding
    seat = max(0.8, (1 + tissue.lumen) / 2)
    for y, x, radius, waves in zip(*glands, strict=True):
        n = max(3, int(2 * np.pi * seat * radius / width))
        angle = (np.arange(n) + rng.uniform(-0.25, 0.25, n)) * 2 * np.pi / n
        oval = waves[0] * np.cos(2 * angle + waves[2])
        lobes = waves[1] * np.cos(3 * angle + waves[3])
        depth = seat + 0.06 * tissue.crowding * rng.standard_normal(n)
        away = radius * (1 + oval + lobes) * depth
        parts.append(np.stack([y + away * np.sin(angle), x + away * np.cos(angle), angle]))
    y, x, angle = np.concatenate(parts, 1)
    return y, x, angle


def _apart(y: Floats, x: Floats, radius: Floats, wanted: int, squeezed: int = 0) -> list[int]:
    """Return the indices of at most `wanted` candidates that keep apart, earlier ones first.

    The first `squeezed` candidates may overlap by two fifths.
    """
    kept: list[int] = []
    free = np.ones(len(y), bool)
    reach = np.where(np.arange(len(y)) < squeezed, 0.6, 1.0) * radius
    for i in range(len(y)):
        if not free[i]:
            continue
        kept.append(i)
        if len(kept) >= wanted:
            break
        free[i + 1 :] &= np.hypot(y[i + 1 :] - y[i], x[i + 1 :] - x[i]) > (
            reach[i] + reach[i + 1 :]
        )
    return kept


def _column(values: Floats, like: Floats) -> Floats:
    """Reshape one value per gland to broadcast over points of any shape."""
    return values.reshape(-1, *(1,) * np.ndim(like))
