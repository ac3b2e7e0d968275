"""Invented images, and examples of them for the tiny image-and-text models."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from mint_ray.preferences.schema import IMAGES, PART_MESSAGES
from mint_ray.students.data.rows import RowEncoder
from mint_ray.students.encoding.images import ImageEncoder
from mint_ray.students.logprobs.examples import Example
from mint_ray.tasks.prompts import answer_message, build_image_prompt
from mint_ray.tasks.task import TISSUE

TISSUES = ("Breast", "Colon", "Kidney", "Liver")


def picture(seed: int, width: int = 40, height: int = 40) -> bytes:
    """Noise about a colour, as PNG."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(-60, 60, (height, width, 3))
    pixels = (rng.integers(80, 170, 3) + noise).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def image_row(number: int, images: Sequence[bytes | None], **changes: Any) -> dict[str, Any]:
    """An invented preference pair whose prompt shows `images`."""
    first = number % len(TISSUES)
    order = [*TISSUES[first:], *TISSUES[:first]]
    prompt: list[Any] = build_image_prompt(TISSUES, 2)
    question = prompt[1]["content"][-1]
    parts = [{"type": "image", "text": None} for _ in images]
    row = {
        "preference_id": f"pair-{number:03d}",
        "case_id": f"case-{number:03d}",
        "group_id": f"group-{number:03d}",
        "split": "train",
        "prompt": [prompt[0], {"role": "user", "content": [*parts, question]}],
        "chosen": answer_message(order[:2], TISSUE),
        "rejected": answer_message(order[2:], TISSUE),
        "images": [{"bytes": image, "path": None} for image in images],
    }
    return row | changes


def write_image_pairs(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """A preference parquet with images."""
    kinds = {"images": IMAGES} | dict.fromkeys(("prompt", "chosen", "rejected"), PART_MESSAGES)
    names = list(rows[0])
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in names])
    pq.write_table(pa.Table.from_pylist(list(rows), schema), path)
    return path


def image_example(
    processor: Any, number: int, images: Sequence[bytes], *, limit: int = 900
) -> Example:
    """The pair of `image_row`, encoded."""
    maker = RowEncoder(ImageEncoder(processor, limit, limit + 200, TISSUE), "pairs", {}, k=2)
    return maker.encode_row(image_row(number, images))
