"""Three invented tissues: dark dots of three sizes on pink, and what is said of them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.config.config import Config
from mint_ray.knowledge.catalogue import Catalogue, Label

RADII = {"Dotted gland": 2, "Spotted gland": 6, "Blotted gland": 12}
UNSEEN = "Plain gland"
CATALOGUE = Catalogue(
    Label(f"TISSUE:{name.split()[0].lower()}", name, (f"TISSUE:{name.split()[0].lower()}",), (), ())
    for name in (*RADII, UNSEEN)
)


def tile(radius: float, seed: int, side: int = 96) -> bytes:
    """A PNG of dots on pink, stained a little otherwise for each seed."""
    rng = np.random.default_rng(seed)
    pink = tuple(int(value) for value in np.array([235, 185, 210]) + rng.integers(-12, 12, 3))
    image = Image.new("RGB", (side, side), pink)
    draw = ImageDraw.Draw(image)
    for x, y in rng.uniform(0, side, (int(500 / radius**1.4), 2)):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(80, 40, 120))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def describe(radius: float, seed: int) -> str:
    size = "small" if radius < 4 else "large"
    jitter = np.random.default_rng(seed).uniform(0.9, 1.1)
    return f"Round {size} nuclei, area {jitter * radius**2:.1f} um2, lumen 4%."


def cases(per_label: int = 8, first: int = 0) -> list[dict[str, Any]]:
    """Rows of two tiles per patient; one patient in four is for validation."""
    rows = []
    for index, (name, radius) in enumerate(RADII.items()):
        for number in range(per_label):
            seed = first + 1000 * index + number
            patient = f"patient-{index}-{first + number // 2:03d}"
            case: dict[str, Any] = dict(blank_case(f"case-{seed:05d}", "tiles"))
            case |= {
                "group_id": patient,
                "split": "validation" if number // 2 % 4 == 3 else "train",
                "label_id": f"TISSUE:{name.split()[0].lower()}",
                "label_name": name,
                "image": tile(radius, seed),
                "description": describe(radius, seed),
            }
            rows.append(case)
    return rows


def write_cases(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """The output of the stage `cases`, as far as a teacher reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, CASE_SCHEMA), folder / "cases.parquet")
    CATALOGUE.write(folder / "catalogue.parquet")
    return folder


def run_config(name: str, **clip: Any) -> Config:
    """A run of the tissue task."""
    teacher = {"name": name, "batch_size": 16, "clip": {"epochs": 6, "width": 16, **clip}}
    return Config.model_validate(
        {"task": "tissue", "cases": {"source": "tiles"}, "teacher": teacher}
    )


def turned(encoded: bytes) -> bytes:
    """The tile a quarter turn on."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(encoded)).rotate(90).save(buffer, "PNG")
    return buffer.getvalue()
