"""Simulated patients: the stain, scanner and tissue habits that their drawn tiles share."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mint_ray.images.tissue.types import Tissue

HAEMATOXYLIN = np.array([0.65, 0.70, 0.29])
EOSIN = np.array([0.13, 0.88, 0.40])
"""Optical densities in red, green and blue of unit amounts of the stains; haematoxylin after
Ruifrok & Johnston (2001), eosin paler in red, as it scans."""

# Spread of a tissue's habits between patients: standard deviations, of the logarithm for factors.
_FACTORS = {
    "nucleus": 0.06,
    "spread": 0.2,
    "irregularity": 0.3,
    "density": 0.16,
    "chromatin": 0.1,
    "clumps": 0.3,
    "fibres": 0.35,
    "wavelength": 0.15,
    "glands": 0.15,
    "gland_radius": 0.08,
    "crowding": 0.1,
    "vacuoles": 0.25,
    "spaces": 0.12,
    "granules": 0.4,
    "basophilia": 0.5,
}


@dataclass(frozen=True)
class Patient:
    """One simulated patient.

    Attributes:
        tissue: the tissue as this patient has it.
        stains: (2, 3) optical density of haematoxylin and eosin in red, green, blue.
        paper: (3,) brightness of the empty slide, 0 to 255.
        blur: standard deviation of the scanner's blur, in pixels.
        noise: standard deviation of the scanner's noise, of 255.
    """

    tissue: Tissue
    stains: NDArray[np.float64]
    paper: NDArray[np.float64]
    blur: float
    noise: float


def draw_patient(tissue: Tissue, variation: float, seed: int) -> Patient:
    """Draw a patient of a tissue; `variation` scales every spread, 0 makes all patients alike."""
    rng = np.random.default_rng(seed)

    def factor(deviation: float, *shape: int) -> NDArray[np.float64]:
        normal: NDArray[np.float64] = rng.standard_normal(shape).clip(-2, 2)
        return np.exp(variation * deviation * normal)

    habits = {name: getattr(tissue, name) * float(factor(s)) for name, s in _FACTORS.items()}
    habits["elongation"] = 1 + (tissue.elongation - 1) * float(factor(0.15))
    habits["spaces"] = min(habits["spaces"], 0.6)
    hues = np.stack([HAEMATOXYLIN, EOSIN]) * factor(0.1, 2, 3)
    amounts = factor(0.22, 2, 1)
    paper = 243 - 9 * variation * np.abs(rng.standard_normal(3)).clip(0, 2)
    return Patient(
        tissue=dataclasses.replace(tissue, **habits),
        stains=hues * amounts,
        paper=paper.clip(200, 255),
        blur=0.6 * float(factor(0.35)),
        noise=2.5 * float(factor(0.4)),
    )
