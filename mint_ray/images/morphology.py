"""Measures the nuclei and the surroundings of a tile of H&E-stained tissue, and says it in words.

Stains are told apart by colour deconvolution (Ruifrok & Johnston, 2001, Anal Quant Cytol Histol
23:291-299). What is measured depends on stain, scanner and segmentation: it describes an image,
it is no pathologist's reading.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2hed
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops_table
from skimage.morphology import remove_small_holes, remove_small_objects
from skimage.segmentation import watershed

from mint_ray.common.arrays import Bools, Bytes, Floats, Ints32
from mint_ray.images.words import word_below

MICRONS_PER_PIXEL = 0.25
"""Scale of a slide scanned at 40×."""

LUMEN_BRIGHTNESS = 0.87
"""Pixels whose darkest channel is above this share of white show the empty slide."""

SMALLEST_NUCLEUS = 6.0
"""Area in µm² below which a segmented spot is taken for debris."""

_NUCLEI_AT_LEAST = 0.02
"""Haematoxylin, as `rgb2hed` gives it, above which a pixel may belong to a nucleus."""


@dataclass(frozen=True)
class Morphology:
    """What was measured on one tile; all zero where there is nothing to measure.

    Attributes:
        nuclei: number of nuclei.
        density: nuclei per mm² of the tile.
        area: mean nuclear area, in µm².
        area_spread: standard deviation of the areas over their mean.
        eccentricity: mean, 0 (round) to 1 (a line).
        solidity: mean area over that of the convex hull, 0 to 1 (smooth outlines).
        haematoxylin: mean in nuclei, in units of `rgb2hed` times 100.
        eosin: mean outside nuclei and lumens, in the same units.
        texture: mean over nuclei of the deviation of haematoxylin over its mean.
        stroma: share of the tile that is tissue without nuclei, 0 to 1.
        lumen: share of the tile that is empty, 0 to 1.
    """

    nuclei: int
    density: float
    area: float
    area_spread: float
    eccentricity: float
    solidity: float
    haematoxylin: float
    eosin: float
    texture: float
    stroma: float
    lumen: float


def measure(
    rgb: Bytes,
    mask: NDArray[np.integer] | Bools | None = None,
    microns_per_pixel: float = MICRONS_PER_PIXEL,
) -> Morphology:
    """Measure a tile.

    Args:
        rgb: (h, w, 3) pixels.
        mask: (h, w), not zero inside nuclei: one number for each nucleus, or one for all (then
            touching nuclei are parted at their waists). None finds nuclei by haematoxylin.
        microns_per_pixel: scale.
    """
    stains = rgb2hed(rgb)
    haematoxylin, eosin = stains[..., 0], stains[..., 1]
    lumen = ndimage.uniform_filter(rgb.min(-1), 3) > 255 * LUMEN_BRIGHTNESS
    pixel = microns_per_pixel**2
    nuclei = (
        find_nuclei(haematoxylin, lumen, microns_per_pixel)
        if mask is None
        else _numbered(mask, microns_per_pixel)
    )
    stroma = (nuclei == 0) & ~lumen
    shapes = regionprops_table(nuclei, properties=("label", "area", "eccentricity", "solidity"))
    areas = shapes["area"] * pixel
    means, deviations = _within(haematoxylin, nuclei, shapes["label"])
    return Morphology(
        nuclei=len(areas),
        density=float(len(areas) / (nuclei.size * pixel) * 1e6),
        area=_mean(areas),
        area_spread=float(areas.std() / areas.mean()) if len(areas) else 0.0,
        eccentricity=_mean(shapes["eccentricity"]),
        solidity=_mean(shapes["solidity"]),
        haematoxylin=100 * _mean(haematoxylin[nuclei > 0]),
        eosin=100 * _mean(eosin[stroma]),
        texture=_mean(deviations / means.clip(1e-3)),
        stroma=float(stroma.mean()),
        lumen=float((lumen & (nuclei == 0)).mean()),
    )


def find_nuclei(
    haematoxylin: Floats, lumen: Bools, microns_per_pixel: float = MICRONS_PER_PIXEL
) -> Ints32:
    """Nuclei of a tile by Otsu's threshold on haematoxylin; touching ones parted by watershed.

    Args:
        haematoxylin: (h, w) stain, as `rgb2hed` gives it.
        lumen: (h, w) where the slide is empty.

    Returns:
        (h, w) with 0 outside nuclei and 1, 2, ... inside; all 0 where no pixel stands out.
    """
    soft = ndimage.gaussian_filter(haematoxylin, 0.3 / microns_per_pixel)
    tissue = soft[~lumen]
    if tissue.size < 2 or np.ptp(tissue) < 1e-6:
        return np.zeros(haematoxylin.shape, np.int32)
    dark = (soft > max(float(threshold_otsu(tissue)), _NUCLEI_AT_LEAST)) & ~lumen
    smallest = round(SMALLEST_NUCLEUS / microns_per_pixel**2)
    dark = remove_small_objects(ndimage.binary_opening(dark, iterations=2), max_size=smallest)
    # Small ones only: a gland is a large hole in a ring of nuclei.
    dark = remove_small_holes(dark, max_size=smallest)
    nuclei = _part(dark, microns_per_pixel)
    nuclei[np.bincount(nuclei.ravel())[nuclei] <= smallest] = 0
    return nuclei


def _part(dark: Bools, microns_per_pixel: float) -> Ints32:
    """A number for each nucleus of a plain mask; touching ones parted at their waists."""
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(dark), 0.4 / microns_per_pixel)
    reach = max(1, round(1.75 / microns_per_pixel))
    tops = peak_local_max(depth, min_distance=reach, labels=label(dark))
    seeds = np.zeros(dark.shape, np.int32)
    seeds[tuple(tops.T)] = np.arange(1, len(tops) + 1)
    return np.asarray(watershed(-depth, seeds, mask=dark), np.int32)


def describe(found: Morphology) -> str:
    """Two sentences of words and numbers; the same measurements give the same text.

    No tissue is named. It is written to fit the 77 tokens that a CLIP text encoder reads, what
    tells most first. The bounds of the words part what was measured on real and drawn tiles about
    evenly.
    """
    eosin = word_below(found.eosin, (1.7, "pale"), (2.2, "moderate"), last="strong")
    slide = f"Eosin {eosin}; stroma {100 * found.stroma:.0f}%, lumen {100 * found.lumen:.0f}%."
    if not found.nuclei:
        return f"H&E tile without nuclei. {slide}"
    size = word_below(
        found.area, (21, "small"), (30, "medium-sized"), (45, "large"), last="very large"
    )
    evenness = word_below(found.area_spread, (0.28, "even"), (0.5, "variable"), last="pleomorphic")
    shape = word_below(found.eccentricity, (0.55, "round"), (0.74, "oval"), last="elongated")
    outline = word_below(found.solidity, (0.89, "irregular"), (0.94, "uneven"), last="smooth")
    crowd = word_below(found.density, (4000, "sparse"), (8000, "moderately dense"), last="dense")
    texture = word_below(found.texture, (0.17, "fine"), (0.25, "granular"), last="coarse")
    chromatin = word_below(found.haematoxylin, (6.2, "pale"), (9, "moderate"), last="dark")
    return (
        f"H&E tile: {size} {evenness} {shape} nuclei, {outline} outlines, {crowd} "
        f"({found.density:.0f}/mm2), {texture} {chromatin} chromatin, area {found.area:.0f} um2 "
        f"± {100 * found.area_spread:.0f}%, eccentricity {found.eccentricity:.2f}. "
        f"{slide}"
    )


def _numbered(mask: NDArray[np.integer] | Bools, microns_per_pixel: float) -> Ints32:
    """One number for each nucleus: the mask's own, or new ones for a plain mask."""
    ids, numbered = np.unique(mask, return_inverse=True)
    if np.count_nonzero(ids) <= 1:
        return _part(mask != 0, microns_per_pixel)
    # Numbers without gaps: regionprops would make a slot for each that is missing.
    shift = int(ids[0] != 0)
    return np.asarray(numbered.reshape(mask.shape) + shift, np.int32)


def _within(values: Floats, nuclei: Ints32, numbers: NDArray[np.int_]) -> tuple[Floats, Floats]:
    """Mean and standard deviation of values in each nucleus, in the order of `numbers`."""
    flat, where = values.ravel(), nuclei.ravel()
    count = np.bincount(where).clip(1)
    mean = np.bincount(where, flat) / count
    square = np.bincount(where, flat**2) / count
    return mean[numbers], np.sqrt((square - mean**2).clip(0))[numbers]


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else 0.0
