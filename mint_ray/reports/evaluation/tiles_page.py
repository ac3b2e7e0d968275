"""The page `tiles.html` of an evaluation: example images beside their answers.

The page contains images, so it stays beside the predictions and is never logged to MLflow.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from mint_ray.evaluation.systems import system_title
from mint_ray.images.decode import open_tile
from mint_ray.reports.evaluation import charts
from mint_ray.reports.evaluation.examples import Example
from mint_ray.reports.page import render_page, write_page

NAME = "tiles.html"
MOST_TILES = 24
ANSWERS = 3
"""Answers shown per system, beside the known one if it ranks lower."""

SIDE = 224
"""Longest side of a thumbnail, in pixels."""


@dataclass(frozen=True)
class Tile:
    """An example with its image."""

    example: Example
    address: str | None
    """Thumbnail as a `data:` URL; None if the image cannot be used."""
    right: bool
    """Whether the student's first answer is the known one."""


def make_tiles(
    examples: Sequence[Example], images: Mapping[str, bytes | None], student: str
) -> list[Tile]:
    """Add thumbnails to examples.

    Args:
        images: case id -> encoded image.
        student: the system that decides which examples count as right.
    """
    return [
        Tile(
            example,
            thumbnail(images.get(example.case_id)),
            any(a.is_known and a.rank == 1 for a in example.answers.get(student, ())),
        )
        for example in examples
    ]


def thumbnail(encoded: bytes | None) -> str | None:
    """Return a JPEG of at most `SIDE` pixels a side as a `data:` URL; None if unusable."""
    image = open_tile(encoded)
    if isinstance(image, str):
        return None
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    Image.frombytes("RGB", image.size, image.tobytes()).save(buffer, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def render_tiles(tiles: Sequence[Tile], run_name: str, student: str) -> str:
    """Render the page as HTML without scripts or external files, with all values escaped."""
    functions = {
        "system_title": system_title,
        "colour_class": partial(charts.colour_class, student=student),
    }
    groups = {
        "The student’s first answer is right": [tile for tile in tiles if tile.right],
        "The student’s first answer is wrong": [tile for tile in tiles if not tile.right],
    }
    shown = {title: members for title, members in groups.items() if members}
    return render_page("tiles.html.j2", functions, run_name=run_name, groups=shown)


def write_tiles(path: Path, tiles: Sequence[Tile], run_name: str, student: str) -> None:
    """Write the page atomically."""
    write_page(path, render_tiles(tiles, run_name, student))
