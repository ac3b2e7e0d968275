"""Drawing of a schematic tile of stained tissue: amounts of two stains, then transmitted light."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from mint_ray.common.arrays import Bools, Bytes, Floats, Ints32
from mint_ray.images.tissue.layout import Nuclei, place_glands, place_nuclei
from mint_ray.images.tissue.patients import Patient
from mint_ray.images.tissue.types import Tissue

MICRONS_PER_PIXEL = 0.25
"""Scale of a drawn tile: a slide scanned at 40×."""


class Tile(NamedTuple):
    """A drawn tile.

    Attributes:
        rgb: (side, side, 3) uint8.
        nuclei: (side, side) int32: 0 outside nuclei, 1, 2, ... inside each.
    """

    rgb: Bytes
    nuclei: Ints32


def render_tile(patient: Patient, side: int, seed: int) -> Tile:
    """Draw a tile of a patient's tissue; the same arguments give the same pixels."""
    rng = np.random.default_rng(seed)
    tissue = patient.tissue
    glands = place_glands(tissue, side, MICRONS_PER_PIXEL, rng)
    y, x = np.mgrid[:side, :side].astype(np.float64)
    reach, _ = glands.reach(y, x)
    empty = _spaces(tissue, side, rng)
    direction = rng.uniform(0, np.pi) + 0.5 * _field(side, 40, rng)
    haematoxylin, eosin = _background(tissue, side, direction, rng)
    _draw_glands(tissue, reach, haematoxylin, eosin, rng)
    haematoxylin[empty], eosin[empty] = 0.0, 0.02
    nuclei = place_nuclei(tissue, glands, empty, direction, MICRONS_PER_PIXEL, rng)
    labels, dark = _draw_nuclei(tissue, nuclei, side, rng)
    inside = labels > 0
    haematoxylin[inside], eosin[inside] = dark[inside], 0.2
    return Tile(_scan(patient, haematoxylin, eosin, rng), labels)


def _field(side: int, scale: float, rng: np.random.Generator) -> Floats:
    """Return (side, side) smooth noise of mean 0 and deviation 1; `scale` in pixels."""
    spline = _b_splines(side, scale)
    noise = rng.standard_normal((spline.shape[1], spline.shape[1]))
    field: Floats = spline @ noise @ spline.T
    field -= field.mean()
    field /= max(float(field.std()), 1e-6)
    return field


@lru_cache(maxsize=32)
def _b_splines(side: int, scale: float) -> Floats:
    """Return (side, knots) weights of cubic B-splines with knots every `scale` pixels."""
    knots = int(np.ceil(side / scale)) + 3
    away = np.abs(np.arange(side)[:, None] / scale + 1 - np.arange(knots))
    near = 2 / 3 - away**2 + away**3 / 2
    return np.where(away < 1, near, (2 - away).clip(0) ** 3 / 6)


def _spaces(tissue: Tissue, side: int, rng: np.random.Generator) -> Bools:
    field = _field(side, 55, rng) + 0.1 * _field(side, 12, rng)
    if not tissue.spaces:
        return np.zeros((side, side), bool)
    return field > np.quantile(field, 1 - tissue.spaces)


def _background(
    tissue: Tissue, side: int, direction: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return haematoxylin and eosin of stroma and cytoplasm, before glands and nuclei."""
    y, x = np.mgrid[:side, :side].astype(np.float64)
    turn = float(direction.mean())
    along = x * np.cos(turn) + y * np.sin(turn)
    across = y * np.cos(turn) - x * np.sin(turn)
    period = tissue.wavelength / MICRONS_PER_PIXEL
    bend = 1.6 * _field(side, 45, rng) + 0.9 * _field(side, 16, rng)
    waves = np.sin(2 * np.pi * across / period + bend + 0.6 * np.sin(along / 17))
    grain = _field(side, 2.5, rng)
    eosin = 0.48 + 0.08 * _field(side, 30, rng) + 0.2 * tissue.fibres * waves
    eosin += 0.12 * tissue.granules * grain
    # Gaps between fibres.
    gaps = (waves + 0.5 * _field(side, 20, rng)) < -1.15
    eosin = np.where(gaps, eosin * (1 - 0.75 * tissue.fibres), eosin)
    haematoxylin = tissue.basophilia * (1 + 0.3 * grain)
    if tissue.vacuoles:
        drops = _field(side, 9, rng)
        clear = drops > np.quantile(drops, 1 - tissue.vacuoles)
        eosin = np.where(clear, 0.1, eosin)
        haematoxylin = np.where(clear, 0.02, haematoxylin)
    return haematoxylin.clip(0), eosin.clip(0.03)


def _draw_glands(
    tissue: Tissue, reach: Floats, haematoxylin: Floats, eosin: Floats, rng: np.random.Generator
) -> None:
    wall = (reach < 1.0) & (reach >= tissue.lumen)
    grain = _field(len(reach), 2.5, rng)
    eosin[wall] = (0.42 + 0.12 * tissue.granules * grain[wall]).clip(0)
    haematoxylin[wall] = 1.6 * tissue.basophilia
    lumen = reach < tissue.lumen
    eosin[lumen] = 0.03 + 0.5 * tissue.colloid
    haematoxylin[lumen] = 0.0
    cleft = (reach > 1.02) & (reach < 1.09)  # a thin gap between a gland and its stroma
    eosin[cleft] *= 0.55


def _draw_nuclei(
    tissue: Tissue, nuclei: Nuclei, side: int, rng: np.random.Generator
) -> tuple[Ints32, Floats]:
    """Return labels and haematoxylin of all nuclei; a later one lies over an earlier one."""
    labels, dark = np.zeros((side, side), np.int32), np.zeros((side, side))
    clumps = 1 + 0.45 * tissue.clumps * _field(side, 3.5, rng)
    n = len(nuclei.y)
    amount = tissue.chromatin * np.exp(0.12 * rng.standard_normal(n))
    phases = rng.uniform(0, 2 * np.pi, (n, 2))
    spots = rng.uniform(-0.4, 0.4, (n, 2))
    with_spot = rng.random(n) < tissue.nucleoli
    for i in range(n):
        radius, ratio, angle = nuclei.radius[i], nuclei.axis_ratio[i], nuclei.angle[i]
        half = int(radius * np.sqrt(ratio) * (1 + 2 * tissue.irregularity)) + 2
        top, left = max(0, int(nuclei.y[i]) - half), max(0, int(nuclei.x[i]) - half)
        window = (
            slice(top, max(top, int(nuclei.y[i]) + half + 1)),
            slice(left, max(left, int(nuclei.x[i]) + half + 1)),
        )
        y, x = np.ogrid[window[0], window[1]]
        y, x = y[y[:, 0] < side] - nuclei.y[i], x[:, x[0] < side] - nuclei.x[i]
        if not y.size or not x.size:
            continue
        u = (x * np.cos(angle) + y * np.sin(angle)) / (radius * np.sqrt(ratio))
        v = (y * np.cos(angle) - x * np.sin(angle)) / (radius / np.sqrt(ratio))
        turn = np.arctan2(v, u)
        waves = np.cos(2 * turn + phases[i, 0]) + np.cos(3 * turn + phases[i, 1])
        away = np.hypot(u, v) / (1 + tissue.irregularity * waves)
        inside = away < 1
        rim = 1 + 0.35 * (away > 1 - 1.6 / radius)
        shade = amount[i] * clumps[window] * rim
        if with_spot[i]:
            shade[np.hypot(u - spots[i, 0], v - spots[i, 1]) < 0.26] = 1.5
        labels[window][inside] = i + 1
        dark[window][inside] = shade[inside].clip(0.15)
    return labels, dark


def _scan(patient: Patient, haematoxylin: Floats, eosin: Floats, rng: np.random.Generator) -> Bytes:
    """Return the light that the stains transmit (Lambert-Beer), blurred, with noise."""
    soft = [ndimage.gaussian_filter(stain, patient.blur) for stain in (haematoxylin, eosin)]
    density = np.stack(soft, -1) @ patient.stains
    light = patient.paper * np.exp(-density)
    light += patient.noise * rng.standard_normal(light.shape)
    return light.round().clip(0, 255).astype(np.uint8)
