"""A user's own case table with images."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import RejectedCase
from mint_ray.cases.tiles.case_table import TileTable
from mint_ray.cases.tiles.finish import finish_tiles
from mint_ray.cases.tiles.source import TileRef
from mint_ray.config.cases import CasesConfig
from mint_ray.errors import DataError
from tests.cases.tiles.image_examples import GOOD


def test_rows_become_tiles(tmp_path: Path) -> None:
    columns = {
        "case_id": ["a", "b", "a", None, "c", "d"],
        "group_id": ["p", None, "p", "p", "p", "q"],
        "label_id": ["UBERON:0002048", None, "x:1", "x:1", None, "TISSUE:bile_duct"],
        "label_name": ["Lung", "Colon", "Lung", "Lung", None, None],
        "description": ["Seen by a person.", None, None, None, None, None],
        "image": [GOOD, GOOD, GOOD, GOOD, GOOD, b"?"],
    }
    pq.write_table(pa.table(columns), tmp_path / "mine.parquet")
    source = TileTable(tmp_path / "mine.parquet")
    found = list(source.list_tiles())
    places = [item for item in found if isinstance(item, TileRef)]
    assert [(p.case_id, p.group_id, p.label_id, p.label_name) for p in places] == [
        ("a", "p", "UBERON:0002048", "Lung"),
        ("b", "b", "TISSUE:colon", "Colon"),
        ("d", "q", "TISSUE:bile_duct", "Bile duct"),
    ]
    reasons = [item.reason for item in found if isinstance(item, RejectedCase)]
    assert reasons == ["duplicate_id", "no_id", "no_label"]
    config = CasesConfig(source="parquet", path=tmp_path / "mine.parquet")
    first, second, third = finish_tiles(places, source, config)
    assert (first.image, first.description) == (GOOD, "Seen by a person.")
    assert second.description.startswith("H&E tile")
    assert (third.image, third.reason) == (None, "image_unreadable")


def test_class_numbers_have_their_names(tmp_path: Path) -> None:
    features = {"label_name": {"names": ["Fat", "Stroma"], "_type": "ClassLabel"}}
    columns = {"case_id": ["a", "b", "c"], "label_name": [1, 0, -1], "image": [GOOD] * 3}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    made = pa.table(columns).replace_schema_metadata(metadata)
    pq.write_table(made, tmp_path / "mine.parquet")
    *places, rejected = TileTable(tmp_path / "mine.parquet").list_tiles()
    assert [p.label_name for p in places if isinstance(p, TileRef)] == ["Stroma", "Fat"]
    assert rejected == RejectedCase("c", "parquet", "no_label")


def test_columns_that_are_needed(tmp_path: Path) -> None:
    pq.write_table(pa.table({"case_id": ["a"], "image": [GOOD]}), tmp_path / "mine.parquet")
    with pytest.raises(DataError, match="label_id or label_name"):
        TileTable(tmp_path / "mine.parquet")


def test_a_label_id_without_a_namespace_is_a_name(tmp_path: Path) -> None:
    columns = {"case_id": ["a", "b"], "label_id": ["breast", "bile duct"], "image": [GOOD] * 2}
    pq.write_table(pa.table(columns), tmp_path / "mine.parquet")
    places = list(TileTable(tmp_path / "mine.parquet").list_tiles())
    assert [(p.label_id, p.label_name) for p in places if isinstance(p, TileRef)] == [
        ("TISSUE:breast", "Breast"),
        ("TISSUE:bile_duct", "Bile duct"),
    ]
