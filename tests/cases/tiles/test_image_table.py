"""Parquet tables of images: columns by name, rows by number, masks."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mint_ray.cases.schema import RejectedCase
from mint_ray.cases.tiles.folder import image_source
from mint_ray.cases.tiles.image_table import ImageTable
from mint_ray.cases.tiles.source import TileImage, TileRef
from mint_ray.common.row_cursor import RowCursor
from mint_ray.config.cases import ImagesConfig
from mint_ray.errors import DataError
from tests.cases.tiles.image_examples import GOOD, encode, noise
from tests.conftest import SHARED_DATA

HISTOLOGY = SHARED_DATA / "histology"


def table(tmp_path: Path, columns: dict[str, list[object]], **settings: object) -> ImageTable:
    pq.write_table(pa.table(columns), tmp_path / "mine.parquet", row_group_size=2)
    source = image_source(tmp_path, ImagesConfig(**settings))
    assert isinstance(source, ImageTable)
    return source


def test_rows_become_places_and_pictures(tmp_path: Path) -> None:
    images = [GOOD, encode(noise(seed=1)), None, b"?", GOOD]
    columns = {
        "label": ["Lung", "lung", "Lung", "Lung", None],
        "group": ["p1", "p1", "p2", None, "p3"],
        "image": images,
    }
    source = table(tmp_path, columns)
    *places, rejected = source.list_tiles()
    assert rejected == RejectedCase("mine-000004", "images", "no_label")
    assert [(p.case_id, p.group_id) for p in places if isinstance(p, TileRef)] == [
        ("mine-000000", "p1"),
        ("mine-000001", "p1"),
        ("mine-000002", "p2"),
        ("mine-000003", "mine-000003"),
    ]
    opened = list(source.read_tiles(places))  # type: ignore[arg-type]
    assert [p.encoded if isinstance(p, TileImage) else p for p in opened] == [
        *images[:2],
        "image_missing",
        "image_unreadable",
    ]


def test_squares_have_their_part_of_the_mask(tmp_path: Path) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[:32, 32:] = 1
    columns = {"organ": ["Lung"], "image": [GOOD], "mask": [encode(Image.fromarray(mask))]}
    settings = {"label_column": "organ", "group_column": None, "mask_column": "mask", "tile": 32}
    source = table(tmp_path, columns, **settings)
    places = [place for place in source.list_tiles() if isinstance(place, TileRef)]
    assert [p.case_id for p in places] == [
        f"mine-000000#00{i}_00{j}" for i in (0, 1) for j in (0, 1)
    ]
    assert {place.group_id for place in places} == {"mine-000000"}
    shares = [p.mask.mean() for p in source.read_tiles(places) if isinstance(p, TileImage)]
    assert shares == [0, 1, 0, 0]


def test_masks_that_do_not_fit_are_named(tmp_path: Path) -> None:
    masks = [b"?", encode(Image.new("L", (9, 9))), None]
    columns = {"label": ["Lung"] * 3, "group": ["p"] * 3, "image": [GOOD] * 3, "mask": masks}
    source = table(tmp_path, columns, mask_column="mask")
    *bad, good = source.read_tiles(list(source.list_tiles()))  # type: ignore[arg-type]
    assert bad == ["mask_unreadable"] * 2
    assert isinstance(good, TileImage)


@pytest.mark.parametrize(
    ("image", "reason"),
    [("https://example.org/a.png", "image_unreadable"), ({"bytes": None}, "image_missing")],
)
def test_no_address_is_followed(tmp_path: Path, image: object, reason: str) -> None:
    source = table(tmp_path, {"label": ["Lung"], "group": ["p"], "image": [image]})
    assert list(source.read_tiles(list(source.list_tiles()))) == [reason]  # type: ignore[arg-type]


def classed(tmp_path: Path, labels: list[object], kind: pa.DataType, **features: object) -> Path:
    """A table as `datasets` writes it: class numbers, images as bytes and path, and metadata."""
    images = [{"bytes": encode(noise(seed=n)), "path": f"{n}.png"} for n in range(len(labels))]
    columns = {"image": images, "tissue": pa.array(labels, kind), "patient": ["p"] * len(labels)}
    found = {"image": {"_type": "Image"}, "patient": {"dtype": "string", "_type": "Value"}}
    metadata = {"huggingface": json.dumps({"info": {"features": {**found, **features}}})}
    made = pa.table(columns).replace_schema_metadata(metadata)
    pq.write_table(made, tmp_path / "train-00000-of-00001.parquet")
    return tmp_path


SETTINGS = ImagesConfig(label_column="tissue", group_column="patient")
CLASSES = {"names": ["Adipose", "Stroma", "Tumour"], "_type": "ClassLabel"}


def test_class_numbers_have_their_names(tmp_path: Path) -> None:
    root = classed(tmp_path, [0, 1, 2, -1, 3, None], pa.int64(), tissue=CLASSES)
    source = image_source(root, SETTINGS)
    found = list(source.list_tiles())
    places = [item for item in found if isinstance(item, TileRef)]
    assert [(p.label_id, p.label_name) for p in places] == [
        ("TISSUE:adipose", "Adipose"),
        ("TISSUE:stroma", "Stroma"),
        ("TISSUE:tumour", "Tumour"),
    ]
    assert [r.reason for r in found if isinstance(r, RejectedCase)] == ["no_label"] * 3
    assert source.reading == ""
    assert all(isinstance(tile, TileImage) for tile in source.read_tiles(places))


@pytest.mark.parametrize(
    "features",
    [
        {},
        {"tissue": {"dtype": "int64", "_type": "Value"}},
        {"tissue": {"_type": "ClassLabel", "num_classes": 3}},
        {"tissue": None},
    ],
)
def test_numbers_without_names_are_said(tmp_path: Path, features: dict[str, object]) -> None:
    root = classed(tmp_path, [0, 1, 2], pa.float64(), **features)
    source = image_source(root, SETTINGS)
    assert {p.label_name for p in source.list_tiles() if isinstance(p, TileRef)} == {"0", "1", "2"}
    assert "numbers" in source.reading
    assert "cases.images.label_names" in source.reading
    names = {"0": "Fat", "1": "Stroma", "2": "Tumour"}
    named = image_source(root, SETTINGS.model_copy(update={"label_names": names}))
    found = {p.label_name for p in named.list_tiles() if isinstance(p, TileRef)}
    assert (found, named.reading) == (set(names.values()), "")


def test_what_datasets_writes_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["Fat", "Stroma"])
    )
    rows = {"image": [noise(seed=1), noise(seed=2)], "label": [1, 0]}
    (tmp_path / "data").mkdir()
    made = datasets.Dataset.from_dict(rows, features=features)
    made.to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    source = image_source(tmp_path, ImagesConfig(group_column=None))
    places = [item for item in source.list_tiles() if isinstance(item, TileRef)]
    assert [p.label_name for p in places] == ["Stroma", "Fat"]
    for seed, tile in zip((1, 2), source.read_tiles(places), strict=True):
        assert isinstance(tile, TileImage)
        assert np.array_equal(np.asarray(tile.image), np.asarray(noise(seed=seed)))
    made.save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match="load_from_disk"):
        image_source(tmp_path / "saved", ImagesConfig())


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a column group and a column image, found label"):
        table(tmp_path, {"label": ["Lung"]})


def test_rows_in_any_order(tmp_path: Path) -> None:
    rows = list(range(100))
    pq.write_table(pa.table({"n": rows}), tmp_path / "n.parquet", row_group_size=30)
    cursor = RowCursor(tmp_path / "n.parquet", ["n"])
    wanted = [0, 0, 5, 29, 30, 99, 98, 3, 61, 60]
    assert [cursor.row(number)["n"] for number in wanted] == wanted


@pytest.mark.skipif(not HISTOLOGY.is_dir(), reason="no histology in ../shared/data")
def test_the_histology_set() -> None:
    settings = ImagesConfig(
        label_column="organ",
        group_column="patient",
        image_column="image_webp",
        mask_column="nuclei_mask_png",
        tile=250,
    )
    source = image_source(HISTOLOGY, settings)
    places = [place for place in source.list_tiles() if isinstance(place, TileRef)]
    assert len(places) == 35 * 16
    assert len({place.group_id for place in places}) == 35
    for picture in source.read_tiles(places[:17]):
        assert isinstance(picture, TileImage)
        assert picture.image.size == (250, 250)
        assert picture.mask is not None
        assert 0.02 < (picture.mask != 0).mean() < 0.7
