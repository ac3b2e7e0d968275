"""Images to predict for: from a table, a folder or one file, each a case or a counted rejection."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import RejectedCase
from mint_ray.cases.tiles.unlabelled import read_images
from mint_ray.errors import DataError
from tests.students.vision_cases import picture


def outcomes(path: Path) -> list[tuple[str, str | bytes | None]]:
    """Id and image, or reason, of everything that is found."""
    return [
        (item.case_id, item.reason)
        if isinstance(item, RejectedCase)
        else (item["case_id"], item["image"])
        for item in read_images(path)
    ]


def test_a_folder_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "b" / "slide").mkdir(parents=True)
    (tmp_path / "b" / "slide" / "1.png").write_bytes(picture(1))
    (tmp_path / "a.tiff").write_bytes(picture(2))  # the name says nothing
    (tmp_path / "b" / "note.txt").write_text("not an image")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "torn.png").write_bytes(picture(3)[:90])
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.png")
    assert outcomes(tmp_path) == [
        (".DS_Store", "hidden_file"),
        ("a.tiff", picture(2)),
        ("b/note.txt", "image_unreadable"),
        ("b/slide/1.png", picture(1)),
        ("gone.png", "image_unreadable"),
        ("pipe.png", "image_unreadable"),
        ("torn.png", "image_unreadable"),
    ]


def test_one_file(tmp_path: Path) -> None:
    (tmp_path / "tile.png").write_bytes(picture(1))
    assert outcomes(tmp_path / "tile.png") == [("tile.png", picture(1))]
    (tmp_path / "small.png").write_bytes(picture(1, 8, 8))
    assert outcomes(tmp_path / "small.png") == [("small.png", "image_too_small")]


def test_a_table(tmp_path: Path) -> None:
    rows = {
        "image": [picture(1), picture(2), None, picture(3), b""],
        "case_id": ["b", "b", "a", None, "c"],
        "label_id": ["TISSUE:liver"] * 5,
    }
    pq.write_table(pa.table(rows), tmp_path / "cases.parquet", row_group_size=2)
    assert outcomes(tmp_path / "cases.parquet") == [
        ("b", picture(1)),
        ("b", "duplicate_id"),
        ("a", "image_missing"),
        ("", "no_id"),
        ("c", "image_unreadable"),
    ]


def test_a_table_with_images_of_datasets(tmp_path: Path) -> None:
    images = [{"bytes": picture(1), "path": "1.png"}, {"bytes": None, "path": "2.png"}, None]
    rows = {"case_id": ["a", "b", "c"], "image": images}
    pq.write_table(pa.table(rows), tmp_path / "cases.parquet")
    expected = [("a", picture(1)), ("b", "image_missing"), ("c", "image_missing")]
    assert outcomes(tmp_path / "cases.parquet") == expected


def test_linked_folders_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "1.png").write_bytes(picture(1))
    for name in ("a", "b"):
        (tmp_path / "root" / name).symlink_to(tmp_path / "away")
    assert outcomes(tmp_path / "root") == [("a/1.png", picture(1)), ("b", "linked_twice")]


def test_what_is_no_input_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found nothing there"):
        outcomes(tmp_path / "gone")
    file = tmp_path / "cases.parquet"
    pq.write_table(pa.table({"case_id": ["a"]}), file)
    with pytest.raises(DataError, match="expected a column image"):
        outcomes(file)
    pq.write_table(pa.table({"case_id": ["a"], "image": [1.5]}), file)
    with pytest.raises(DataError, match=r"case_id .text. and image"):
        outcomes(file)
    file.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read as such"):
        outcomes(file)
