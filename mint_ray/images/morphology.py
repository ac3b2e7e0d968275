"""Morphology of nuclei and surroundings in a tile of H&E-stained tissue, in numbers and words.

Stains are separated by colour deconvolution (Ruifrok & Johnston, 2001, Anal Quant Cytol Histol
23:291-299). The measurements depend on stain, scanner and segmentation: they describe an image
and are not a pathologist's reading.
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
"""Share of white above which a pixel's darkest channel means empty slide."""

SMALLEST_NUCLEUS = 6.0
"""Area, in µm², up to which a segmented object is taken for debris."""

_LEAST_HAEMATOXYLIN = 0.02
"""Haematoxylin, in units of `rgb2hed`, above which a pixel may belong to a nucleus."""


@dataclass(frozen=True)
class Morphology:
    """Measurements of one tile; 0 where there is nothing to measure.

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
    """Measure the nuclei, stains and empty areas of a tile.

    Args:
        rgb: (h, w, 3) uint8 pixels.
        mask: (h, w), not zero inside nuclei: one number for each nucleus, or one number for all
            (touching nuclei are then separated at their waists). Without a mask, nuclei are
            found by haematoxylin.
        microns_per_pixel: scale, in µm per pixel.
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
    """Find nuclei by Otsu's threshold on haematoxylin; separate touching ones by watershed.

    Args:
        haematoxylin: (h, w) stain, in units of `rgb2hed`.
        lumen: (h, w), true where the slide is empty.
        microns_per_pixel: scale, in µm per pixel.

    Returns:
        (h, w) with 0 outside nuclei and 1, 2, ... inside; all 0 if no pixel stands out.
    """
    soft = ndimage.gaussian_filter(haematoxylin, 0.3 / microns_per_pixel)
    tissue = soft[~lumen]
    if tissue.size < 2 or np.ptp(tissue) < 1e-6:
        return np.zeros(haematoxylin.shape, np.int32)
    dark = (soft > max(float(threshold_otsu(tissue)), _LEAST_HAEMATOXYLIN)) & ~lumen
    smallest = round(SMALLEST_NUCLEUS / microns_per_pixel**2)
    dark = remove_small_objects(ndimage.binary_opening(dark, iterations=2), max_size=smallest)
    # Small holes only: a gland is a large hole in a ring of nuclei.
    dark = remove_small_holes(dark, max_size=smallest)
    nuclei = _separate(dark, microns_per_pixel)
    nuclei[np.bincount(nuclei.ravel())[nuclei] <= smallest] = 0
    return nuclei


def _separate(dark: Bools, microns_per_pixel: float) -> Ints32:
    """Assign a number to each nucleus of a binary mask; separate touching ones at their waists."""
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(dark), 0.4 / microns_per_pixel)
    reach = max(1, round(1.75 / microns_per_pixel))
    tops = peak_local_max(depth, min_distance=reach, labels=label(dark))
    seeds = np.zeros(dark.shape, np.int32)
    seeds[tuple(tops.T)] = np.arange(1, len(tops) + 1)
    return np.asarray(watershed(-depth, seeds, mask=dark), np.int32)


def describe(tile: Morphology) -> str:
    """Describe a tile in two sentences; the same measurements give the same text.

    No tissue is named. The text fits the 77 tokens that a CLIP text encoder reads and starts with
    the most informative facts. The bounds of the words divide the measurements of real and drawn
    tiles into parts of about equal size.
    """
    eosin = word_below(tile.eosin, (1.7, "pale"), (2.2, "moderate"), last="strong")
    slide = f"Eosin {eosin}; stroma {100 * tile.stroma:.0f}%, lumen {100 * tile.lumen:.0f}%."
    if not tile.nuclei:
        return f"H&E tile without nuclei. {slide}"
    size = word_below(
        tile.area, (21, "small"), (30, "medium-sized"), (45, "large"), last="very large"
    )
    evenness = word_below(tile.area_spread, (0.28, "even"), (0.5, "variable"), last="pleomorphic")
    shape = word_below(tile.eccentricity, (0.55, "round"), (0.74, "oval"), last="elongated")
    outline = word_below(tile.solidity, (0.89, "irregular"), (0.94, "uneven"), last="smooth")
    crowd = word_below(tile.density, (4000, "sparse"), (8000, "moderately dense"), last="dense")
    texture = word_below(tile.texture, (0.17, "fine"), (0.25, "granular"), last="coarse")
    chromatin = word_below(tile.haematoxylin, (6.2, "pale"), (9, "moderate"), last="dark")
    return (
        f"H&E tile: {size} {evenness} {shape} nuclei, {outline} outlines, {crowd} "
        f"({tile.density:.0f}/mm2), {texture} {chromatin} chromatin, area {tile.area:.0f} um2 "
        f"± {100 * tile.area_spread:.0f}%, eccentricity {tile.eccentricity:.2f}. "
        f"{slide}"
    )


def _numbered(mask: NDArray[np.integer] | Bools, microns_per_pixel: float) -> Ints32:
    """Return a number for each nucleus: from the mask, or new ones for a binary mask."""
    ids, numbered = np.unique(mask, return_inverse=True)
    if np.count_nonzero(ids) <= 1:
        return _separate(mask != 0, microns_per_pixel)
    # Numbers without gaps: regionprops would allocate an entry for each missing one.
    shift = int(ids[0] != 0)
    return np.asarray(numbered.reshape(mask.shape) + shift, np.int32)


def _within(values: Floats, nuclei: Ints32, numbers: NDArray[np.int_]) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of the values in each nucleus, as in `numbers`."""
    flat, where = values.ravel(), nuclei.ravel()
    count = np.bincount(where).clip(1)
    mean = np.bincount(where, flat) / count
    square = np.bincount(where, flat**2) / count
    return mean[numbers], np.sqrt((square - mean**2).clip(0))[numbers]


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else 0.0
