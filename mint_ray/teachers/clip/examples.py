"""Features of the images and descriptions of a case table, read a few cases at a time."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from mint_ray.common.arrays import Bools, Floats32, Ints
from mint_ray.common.collectives import gather, rank, world_size
from mint_ray.common.seeds import stable_seed
from mint_ray.images.decode import open_tile
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.teachers.clip.augment import make_views
from mint_ray.teachers.clip.encoders.base import Encoders

logger = logging.getLogger(__name__)

ROWS = 32
"""Number of decoded cases in memory at once."""
PART = ("images", "labels", "groups", "descriptions", "texts", "skipped")
COLUMNS = ("case_id", "group_id", "label_id", "image", "description")


@dataclass(frozen=True)
class Examples:
    """Cases with a known label of the catalogue and a usable image, encoded."""

    images: Floats32
    """(n, views, image_width); the first view is the image as it is."""
    labels: Ints
    """(n,) catalogue index of the answer."""
    groups: Ints
    """(n,) number of the patient or slide."""
    descriptions: tuple[str, ...]
    """(n,), "" for a case without a description."""
    texts: Floats32
    """(n, text_width) of the descriptions; zero for a case without a description."""
    skipped: int = 0
    """Cases of the split without a label of the catalogue or a usable image."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def described(self) -> Bools:
        """(n,) whether there is a description."""
        return np.array([bool(text) for text in self.descriptions], dtype=bool)

    def take(self, rows: Ints) -> "Examples":
        """Return the examples at the positions `rows`."""
        return replace(
            self,
            images=self.images[rows],
            labels=self.labels[rows],
            groups=self.groups[rows],
            descriptions=tuple(self.descriptions[row] for row in rows),
            texts=self.texts[rows],
        )


def read_examples(
    file: Path, split: str, catalogue: Catalogue, encoders: Encoders, views: int, seed: int
) -> Examples:
    """Read and encode the examples of a split, in the order of the file.

    Of several processes, each encodes its share and all get the whole. Rows without a label of
    the catalogue or a usable image are left out and counted in the log.

    Args:
        file: table of cases.
        split: `train`, `validation` or `test`.
        catalogue: labels.
        encoders: of images and texts.
        views: number of views of each image, see `make_views`; drawn for each case from its id
            and the seed.
        seed: of the views.
    """
    parts = []
    for number, rows in enumerate(_batches(file, split)):
        if number % world_size() == rank():
            parts.append((number, _encode(rows, catalogue, encoders, views, seed)))
    shares = (part for share in gather(parts) for part in share)
    examples = _join([part for _, part in sorted(shares, key=lambda part: part[0])])
    if examples.skipped:
        logger.warning("%d cases of split %s are left out", examples.skipped, split)
    return examples


def _batches(file: Path, split: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of the split, up to `ROWS` at a time."""
    with pq.ParquetFile(file) as table:
        for batch in table.iter_batches(ROWS, columns=[*COLUMNS, "split"]):
            rows = [row for row in batch.to_pylist() if row["split"] == split]
            if rows:
                yield rows


def _encode(
    rows: list[dict[str, Any]], catalogue: Catalogue, encoders: Encoders, views: int, seed: int
) -> dict[str, list[Any]]:
    """Return the columns of the usable rows, and under `skipped` the ids of the other rows."""
    columns: dict[str, list[Any]] = {name: [] for name in PART}
    opened = []
    for row in rows:
        label, image = catalogue.index_of(row["label_id"] or ""), open_tile(row["image"])
        if label is None or isinstance(image, str):
            columns["skipped"].append(row["case_id"])
            continue
        rng = np.random.default_rng(stable_seed(seed, "view", row["case_id"]))
        opened += make_views(image, views, rng)
        columns["labels"].append(label)
        columns["groups"].append(row["group_id"])
        columns["descriptions"].append(tidy(row["description"]))
    if opened:
        features = encoders.images(opened)
        columns["images"] = [features.reshape(len(columns["labels"]), views, -1)]
        columns["texts"] = [encode_descriptions(columns["descriptions"], encoders)]
    return columns


def tidy(description: str | None) -> str:
    """Return the description without lone surrogates and blank ends, so that it can be encoded."""
    return (description or "").encode("utf-8", "replace").decode("utf-8").strip()


def encode_descriptions(texts: list[str], encoders: Encoders) -> Floats32:
    """Return (n, text_width) features of texts, zero for an empty one; (n, 0) if all are empty."""
    described = [row for row, text in enumerate(texts) if text]
    if not described:
        return np.zeros((len(texts), 0), np.float32)
    encoded = encoders.texts([texts[row] for row in described])
    features = np.zeros((len(texts), encoded.shape[1]), np.float32)
    features[described] = encoded
    return features


def _join(parts: list[dict[str, list[Any]]]) -> Examples:
    """Join the columns of all parts; groups are numbered in the order of their names."""
    columns: dict[str, list[Any]] = {
        name: [value for part in parts for value in part[name]] for name in PART
    }
    _, groups = np.unique(np.array(columns["groups"], dtype=str), return_inverse=True)
    width = max((part.shape[1] for part in columns["texts"]), default=0)
    texts = [_widen_empty(part, width) for part in columns["texts"]]
    return Examples(
        images=np.concatenate(columns["images"])
        if columns["images"]
        else np.zeros((0, 1, 0), np.float32),
        labels=np.array(columns["labels"], dtype=np.int64),
        groups=groups.astype(np.int64),
        descriptions=tuple(columns["descriptions"]),
        texts=np.concatenate(texts) if texts else np.zeros((0, 0), np.float32),
        skipped=len(columns["skipped"]),
    )


def _widen_empty(part: Floats32, width: int) -> Floats32:
    return part if part.shape[1] else np.zeros((len(part), width), np.float32)
