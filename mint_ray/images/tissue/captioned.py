"""Drawn tiles of no particular tissue, with captions, for training a model to read images.

Every habit is drawn at random between its least and its greatest value among the tissues of the
table. A tile therefore does not reveal any tissue's own combination, and a caption does not name
a tissue.
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from mint_ray.common.seeds import stable_seed
from mint_ray.images.tissue.drawing import render_tile
from mint_ray.images.tissue.patients import draw_patient
from mint_ray.images.tissue.types import TISSUES, Tissue
from mint_ray.images.words import word_below

# Share of tiles with more than 0 of a habit that most tissues lack.
_SOME = {"glands": 0.55, "spaces": 0.2, "vacuoles": 0.4, "colloid": 0.35, "fibres": 0.75}


class CaptionedTile(NamedTuple):
    """An RGB image and its caption."""

    image: Image.Image
    caption: str


def draw_captioned_tiles(count: int, side: int, seed: int) -> Iterator[CaptionedTile]:
    """Draw `count` tiles of `side` pixels; the same arguments give the same tiles."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        habits = _random_habits(rng)
        patient = draw_patient(habits, 1.0, stable_seed(seed, "practice", str(number)))
        tile = render_tile(patient, side, int(rng.integers(2**31)))
        yield CaptionedTile(Image.fromarray(tile.rgb), caption_of(habits))


def caption_of(habits: Tissue) -> str:
    """Describe a tile with these habits, in a few words for each."""
    size = word_below(habits.nucleus, (2.6, "small"), (3.3, "medium"), last="large")
    shape = word_below(habits.elongation, (1.2, "round"), (1.6, "oval"), last="elongated")
    crowd = word_below(habits.density, (3000, "sparse"), (4500, "moderate"), last="dense")
    nucleoli = ", nucleoli" if habits.nucleoli > 0.5 else ""
    glands = "no glands"
    if habits.glands:
        many = word_below(habits.glands, (2.5, "few"), (6, "several"), last="many")
        width = word_below(habits.gland_radius, (9.5, "small"), last="large")
        inside = (
            "colloid"
            if habits.colloid
            else word_below(habits.lumen, (0.2, "solid"), (0.5, "narrow lumen"), last="wide lumen")
        )
        glands = f"{many} {width} glands, {inside}"
    stroma = word_below(habits.fibres, (0.15, "smooth"), (0.5, "some fibres"), last="strong fibres")
    extras = [
        *(["empty spaces"] if habits.spaces else []),
        *(["clear droplets"] if habits.vacuoles > 0.08 else []),
        *(["grainy"] if habits.granules > 0.35 else []),
        *(["bluish cytoplasm"] if habits.basophilia > 0.2 else []),
    ]
    return ". ".join(
        [f"{size} {shape} nuclei, {crowd}{nucleoli}", glands, ", ".join([stroma, *extras])]
    )


def _random_habits(rng: np.random.Generator) -> Tissue:
    drawn: dict[str, float] = {}
    for field in dataclasses.fields(Tissue):
        if field.name in ("name", "drawn"):
            continue
        values = [float(getattr(tissue, field.name)) for tissue in TISSUES]
        least, most = min(values), max(values)
        if field.name in _SOME and rng.random() >= _SOME[field.name]:
            drawn[field.name] = 0.0
        else:
            drawn[field.name] = float(rng.uniform(least, most))
    return Tissue(name="practice", drawn="", **drawn)
