"""Pairs of the tissue task: what they ask, who is turned away, what `datasets` makes of them."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image
from trl.data_utils import is_conversational, prepare_multimodal_messages

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.common.parquet import TableFile
from mint_ray.config.preferences import PreferencesConfig
from mint_ray.errors import DataError
from mint_ray.images.decode import open_tile
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.preferences.render import CasePairs
from mint_ray.preferences.schema import preference_schema, scored_schema
from mint_ray.preferences.writer import PairFiles, images_in_order, pairs_with_images
from mint_ray.tasks.answers import parse_list
from mint_ray.tasks.prompts import build_image_prompt
from mint_ray.tasks.task import TISSUE

TISSUES = ("Breast", "Kidney", "Liver", "Lung")
CATALOGUE = Catalogue(
    [Label(f"TISSUE:{n.lower()}", n, (f"TISSUE:{n.lower()}",), (), ()) for n in TISSUES]
)


def tile(seed: int = 0, side: int = 32) -> bytes:
    """A PNG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class TileTeacher:
    """Ranks by the image's mean; judges a case without one where it is described."""

    labels = CATALOGUE.ids
    revision = "tiles@1"

    def score(self, batch: Mapping[str, Sequence[Any]]) -> np.ndarray:
        rows = zip(batch["image"], batch["description"], strict=True)
        return np.array([self._row(open_tile(i), words) for i, words in rows], dtype=np.float32)

    def unusable_reasons(self, batch: Mapping[str, Sequence[Any]]) -> list[str]:
        return [str(open_tile(image)) for image in batch["image"]]

    def _row(self, image: Image.Image | str, words: str) -> np.ndarray:
        if isinstance(image, str) and not words:
            return np.full(4, np.nan)
        logits = np.sin(np.arange(4) + (0 if isinstance(image, str) else np.asarray(image).mean()))
        return np.asarray(logits - np.log(np.exp(logits).sum()))


def cases(changes: list[dict[str, Any]]) -> pa.Table:
    sound = {"split": "train", "label_id": "TISSUE:liver", "label_name": "Liver"}
    rows = [
        {**blank_case(f"tile-{i:03d}", "tiles"), **sound, "image": tile(i), **change}
        for i, change in enumerate(changes)
    ]
    return pa.Table.from_pylist(rows, CASE_SCHEMA)


def score(table: pa.Table, **settings: Any) -> pa.Table:
    config = PreferencesConfig.model_validate({"chosen_size": 2, "rejected_size": 2, **settings})
    rows = CasePairs(TileTeacher(), CATALOGUE, config, "key", TISSUE).build(table)
    return pa.Table.from_pylist(rows, scored_schema(TISSUE))


def write(folder: Path, changes: list[dict[str, Any]], **settings: Any) -> Path:
    """The files of pairs of the given cases."""
    table = cases(changes)
    pq.write_table(table, folder / "cases.parquet")
    images = images_in_order(folder / "cases.parquet")
    with PairFiles(folder, TISSUE) as files:
        files.add(pairs_with_images(score(table, **settings), images))
    return folder


def test_an_image_pair_asks_for_the_tissues_of_the_catalogue() -> None:
    [row] = score(cases([{}])).to_pylist()
    [pair] = row["pairs"]
    assert pair["prompt"] == build_image_prompt(TISSUES, 2)
    assert "images" not in pair
    for side in ("chosen", "rejected"):
        [message] = pair[side]
        named = parse_list(message["content"][0]["text"], TISSUE.header)
        assert [f"TISSUE:{name.lower()}" for name in named] == pair[f"{side}_labels"]
    assert (pair["task"], pair["label_id"]) == ("tissue", "TISSUE:liver")


def test_damaged_images_have_a_reason_and_change_nothing() -> None:
    white = io.BytesIO()
    Image.new("RGB", (32, 32), "white").save(white, "PNG")
    damaged = {
        "image_missing": {"image": None},
        "image_unreadable": {"image": tile()[:60]},
        "image_too_small": {"image": tile(side=8)},
        "image_blank": {"image": white.getvalue()},
        "label_not_in_catalogue": {"label_id": "TISSUE:moon", "image": None},
    }
    sound = {"case_id": "sound", "group_id": "sound", "image": tile()}
    rows = score(cases([*damaged.values(), sound])).to_pylist()
    assert [row["reason"] for row in rows] == [*damaged, None]
    assert [bool(row["pairs"]) for row in rows] == [False] * len(damaged) + [True]
    assert rows[-1:] == score(cases([sound])).to_pylist()


def test_a_description_does_not_stand_in_for_an_image() -> None:
    described = [{"image": None, "description": "Large nuclei."}, {"description": "Large nuclei."}]
    rows = score(cases(described)).to_pylist()
    assert [row["reason"] for row in rows] == ["image_missing", None]


def test_datasets_and_trl_take_the_rows_as_they_are(tmp_path: Path) -> None:
    write(tmp_path, [{}, {"image": None}, {"label_id": None}], rejected_sets=2, rejected_size=1)
    data = load_dataset(
        "parquet",
        data_files=str(tmp_path / "train.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert data.column_names == preference_schema(TISSUE).names
    assert data["preference_id"] == [f"tile-{i}#{w}" for i in ("000", "002") for w in (0, 1)]
    row = data[0]
    [image] = row["images"]
    assert isinstance(image, Image.Image)
    assert np.array_equal(np.asarray(image), np.asarray(open_tile(tile(0))))
    assert is_conversational(row)
    user = prepare_multimodal_messages(row["prompt"], images=row["images"])[1]
    assert user["content"][0] == {"type": "image", "text": None, "image": image}
    assert prepare_multimodal_messages(row["chosen"]) == row["chosen"]


def test_a_repeated_image_is_stored_once(tmp_path: Path) -> None:
    changes = [{"image": tile(i, 128)} for i in range(60)]
    once, twice = tmp_path / "once", tmp_path / "twice"
    once.mkdir(), twice.mkdir()
    write(once, changes, rejected_size=1), write(twice, changes, rejected_size=1, rejected_sets=2)
    sizes = [(folder / "train.parquet").stat().st_size for folder in (once, twice)]
    assert sizes[1] < 1.1 * sizes[0]
    groups = pq.read_metadata(twice / "train.parquet")
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [64, 56]


def test_cases_in_another_order_are_refused(tmp_path: Path) -> None:
    table = cases([{}, {}])
    pq.write_table(table.take([1, 0]), tmp_path / "cases.parquet")
    with pytest.raises(DataError, match="in the order of their ids"):
        pairs_with_images(score(table), images_in_order(tmp_path / "cases.parquet"))


def test_files_are_whole_or_absent_and_typed_when_empty(tmp_path: Path) -> None:
    write(tmp_path, [{"image": None}])
    for split in ("train", "validation", "test"):
        found = pq.read_table(tmp_path / f"{split}.parquet")
        assert found.num_rows == 0
        assert found.schema.equals(preference_schema(TISSUE))
        assert found.schema.metadata == preference_schema(TISSUE).metadata
    before = (tmp_path / "train.parquet").read_bytes()
    with pytest.raises(RuntimeError), PairFiles(tmp_path, TISSUE):
        raise RuntimeError
    assert (tmp_path / "train.parquet").read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_rows_are_written_in_groups_in_their_order(tmp_path: Path) -> None:
    schema = pa.schema([("n", pa.int64())])
    with TableFile(tmp_path / "n.parquet", schema, 4) as file:
        for start, end in ((0, 3), (3, 13), (13, 13), (13, 14)):
            file.add(pa.table({"n": range(start, end)}, schema=schema))
    with pq.ParquetFile(tmp_path / "n.parquet") as read:
        assert [read.metadata.row_group(i).num_rows for i in range(4)] == [4, 4, 4, 2]
        assert read.read()["n"].to_pylist() == list(range(14))
