"""Levels of class folders: splits, labels and groups as their names say, or a stop."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from mint_ray.cases.schema import RejectedCase
from mint_ray.cases.tiles.folder import ImageFolder
from mint_ray.cases.tiles.folder_levels import split_of
from mint_ray.cases.tiles.source import TileRef
from mint_ray.config.cases import ImagesConfig
from mint_ray.errors import DataError
from tests.cases.tiles.image_examples import GOOD
from tests.conftest import SHARED_DATA

FIELD = SHARED_DATA.parent / "field" / "folders"


def write(root: Path, names: Sequence[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(GOOD)
    return root


def product(*levels: Sequence[str]) -> list[str]:
    names = [""]
    for level in levels:
        names = [f"{name}{part}/" for name in names for part in level]
    return [f"{name}{number}.png" for name in names for number in (1, 2)]


def read(root: Path, **settings: object) -> tuple[list[TileRef], list[RejectedCase], str]:
    source = ImageFolder(root, ImagesConfig(**settings))
    found = list(source.list_tiles())
    refs = [item for item in found if isinstance(item, TileRef)]
    return refs, [item for item in found if isinstance(item, RejectedCase)], source.reading


def labels(refs: list[TileRef]) -> set[str]:
    return {ref.label_name for ref in refs}


SPLITS = ("train", "val", "test")
TISSUES = ("ADI", "STR", "TUM")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("TRAIN_images", "train"),
        ("train-set", "train"),
        ("trainset", "train"),
        ("val", "validation"),
        ("Valid", "validation"),
        ("validation", "validation"),
        ("Validation data", "validation"),
        ("test", "test"),
        ("testing", "test"),
        ("Test_1", "test"),
        ("testis", None),
        ("Valve", None),
        ("trained", None),
        ("contrast", None),
        ("ADI", None),
    ],
)
def test_names_of_splits(name: str, split: str | None) -> None:
    assert split_of(name) == split


@pytest.mark.parametrize("splits", [SPLITS, ("Training", "VALIDATION", "Testing"), SPLITS[::2]])
def test_splits_above_labels_are_kept(tmp_path: Path, splits: Sequence[str]) -> None:
    refs, rejected, reading = read(write(tmp_path, product(splits, TISSUES)))
    assert (labels(refs), rejected) == ({"ADI", "STR", "TUM"}, [])
    assert {(ref.case_id.split("/")[0], ref.split) for ref in refs} == {
        (name, split_of(name)) for name in splits
    }
    assert all(ref.group_id == ref.case_id for ref in refs)
    assert reading.startswith("folders: split (")
    assert "/ label (ADI, STR, TUM)" in reading


def test_patients_below_labels_below_splits(tmp_path: Path) -> None:
    names = [f"{s}/{t}/{s}{i}/1.png" for s in SPLITS for t in TISSUES for i in (1, 2)]
    refs, _, reading = read(write(tmp_path, names))
    assert {ref.group_id for ref in refs} == {f"{s}{i}" for s in SPLITS for i in (1, 2)}
    assert reading.endswith("/ group (test1, test2, train1, train2, ... 6 in all)")


@pytest.mark.parametrize("wrapper", ["images", "a/b"])
def test_a_folder_around_the_splits_counts_for_nothing(tmp_path: Path, wrapper: str) -> None:
    refs, _, _ = read(write(tmp_path, [f"{wrapper}/{n}" for n in product(SPLITS, TISSUES)]))
    assert labels(refs) == set(TISSUES)
    assert {ref.split for ref in refs} == {"train", "validation", "test"}


def test_splits_below_labels_are_kept(tmp_path: Path) -> None:
    refs, _, _ = read(write(tmp_path, product(TISSUES, SPLITS)))
    assert labels(refs) == set(TISSUES)
    assert {ref.split for ref in refs} == {"train", "validation", "test"}
    assert all(ref.group_id == ref.case_id for ref in refs)


UNCLEAR = {
    "splits beside tissues": product(("train", "test", "Lung"), TISSUES),
    "a tissue called Test": [*product(TISSUES), *product(("Test",))],
    "splits without tissues": product(SPLITS),
    "numbers": product(("0", "1")),
    "numbered classes": product(("class_0", "class_1")),
    "numbers below splits": product(SPLITS, ("0", "1")),
    "patients above numbers": product(("10250", "10251", "10252"), ("0", "1")),
    "patients above names": product(("p1", "p2", "p3"), ("benign", "malignant")),
    "named patients above names": product(("Ann", "Bob", "Eve"), ("benign", "malignant")),
    "data sets above names": product(("HE-100K", "HE-7K"), TISSUES),
    "data sets above splits and names": product(("A", "B", "C", "D"), SPLITS, TISSUES),
    "one folder below every label": product(TISSUES, ("images",)),
    "splits below patients": product(TISSUES, ("p1", "p2"), SPLITS),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_can_be_read_in_several_ways_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"level 1 \(.*cases\.images\.levels"):
        read(write(tmp_path, UNCLEAR[name]))


CLEAR = {
    "patients of several tissues": product(("normal", "tumour"), ("p1", "p2", "p3")),
    "more tissues than patients": product(("Colon", "Liver", "Lung", "Skin"), ("p1", "p2")),
    "numbers beside names": product(("01_TUMOUR", "02_STROMA")),
    "one tissue": product(("Lung",), ("p1", "p2")),
}


@pytest.mark.parametrize("name", CLEAR)
def test_labels_above_groups_stay_as_they_were(tmp_path: Path, name: str) -> None:
    refs, rejected, _ = read(write(tmp_path, CLEAR[name]))
    assert not rejected
    tops = {item.split("/")[0] for item in CLEAR[name]}
    assert {ref.case_id.split("/")[0] for ref in refs} == tops
    assert len(labels(refs)) == len(tops)
    assert {ref.split for ref in refs} == {None}


def test_the_config_says_what_levels_are(tmp_path: Path) -> None:
    root = write(tmp_path, [*product(("10250", "10251"), ("0", "1")), "10250/stray.png"])
    names = {0: "Normal", "1": "Carcinoma"}
    refs, rejected, reading = read(root, levels=["group", "label"], label_names=names)
    assert labels(refs) == {"Normal", "Carcinoma"}
    assert {ref.group_id for ref in refs} == {"10250", "10251"}
    assert [(r.case_id, r.reason) for r in rejected] == [("10250/stray.png", "no_label")]
    assert reading == "folders: group (10250, 10251) / label (0, 1)"
    refs, _, _ = read(root, levels=["group", "label"])
    assert labels(refs) == {"0", "1"}
    refs, _, _ = read(write(tmp_path / "n", product(("0", "1"))), label_names=names)
    assert labels(refs) == {"Normal", "Carcinoma"}


def test_a_level_may_count_for_nothing(tmp_path: Path) -> None:
    root = write(tmp_path, [*product(SPLITS, TISSUES), "notes/ADI/1.png"])
    refs, rejected, _ = read(root, levels=["split", "label"])
    assert [(r.case_id, r.reason) for r in rejected] == [("notes/ADI/1.png", "no_split")]
    assert len(refs) == 18
    refs, rejected, _ = read(root, levels=["skip", "label"])
    assert {ref.split for ref in refs} == {None}
    assert (len(refs), rejected) == (19, [])


@pytest.mark.parametrize("levels", [[], ["group"], ["label", "label"], ["label", "folder"]])
def test_levels_that_make_no_sense(levels: list[str]) -> None:
    with pytest.raises(ValidationError, match="levels"):
        ImagesConfig(levels=levels)


def test_links_and_hidden_files_are_counted(tmp_path: Path) -> None:
    root = write(tmp_path / "root", [*product(TISSUES), "ADI/.DS_Store", ".git/x", "stray.png"])
    write(tmp_path / "away", ["p1/1.png", "p1/note.txt"])
    (root / "LYM").symlink_to(tmp_path / "away")
    (root / "ADI" / "loop").symlink_to(root)
    (root / "MUS").symlink_to(root / "STR")
    refs, rejected, _ = read(root)
    assert labels(refs) == {*TISSUES, "LYM"}
    assert {r.case_id: r.reason for r in rejected} == {
        ".git/x": "hidden_file",
        "ADI/.DS_Store": "hidden_file",
        "ADI/loop": "linked_twice",
        "MUS": "linked_twice",
        "stray.png": "no_label",
    }


@pytest.mark.parametrize("name", ["dataset_dict.json", "state.json"])
def test_a_data_set_of_arrow_files_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path, ["train/data-00000-of-00001.arrow", name])
    with pytest.raises(DataError, match=r"load_from_disk.*to_parquet"):
        read(tmp_path)


@pytest.mark.skipif(not FIELD.is_dir(), reason="no field inputs in ../shared")
def test_the_folders_of_the_field() -> None:
    refs, rejected, _ = read(FIELD / "split_class")
    assert (labels(refs), rejected) == ({"ADI", "STR", "TUM"}, [])
    assert {ref.split for ref in refs} == {"train", "validation", "test"}
    with pytest.raises(DataError, match=r"level 1 \(10250, .*level 2 \(0, 1\)"):
        read(FIELD / "patient_class")
    refs, _, _ = read(FIELD / "patient_class", levels=["group", "label"])
    assert (labels(refs), len({ref.group_id for ref in refs})) == ({"0", "1"}, 6)


SCALES = ("40X", "100x")


@pytest.mark.parametrize(
    ("levels", "groups"),
    [
        ([SCALES, TISSUES], 12),
        ([("40x",), TISSUES], 6),
        ([TISSUES, SCALES], 12),
        ([("0.25mpp", "0.5um"), TISSUES], 12),
        ([TISSUES, ("P1", "P2"), ("level_0", "level_1")], 2),
        ([("images",), TISSUES], 6),
        ([("data",), SCALES, TISSUES], 12),
    ],
)
def test_magnifications_and_wrappers_mean_nothing(
    tmp_path: Path, levels: list[Sequence[str]], groups: int
) -> None:
    refs, rejected, reading = read(write(tmp_path, product(*levels)))
    assert labels(refs) == set(TISSUES)
    assert len({ref.group_id for ref in refs}) == groups
    assert rejected == []
    assert "skip" in reading


def test_magnifications_below_splits(tmp_path: Path) -> None:
    refs, _, _ = read(write(tmp_path, product(SPLITS, SCALES, TISSUES)))
    assert labels(refs) == set(TISSUES)
    assert {ref.split for ref in refs} == {"train", "validation", "test"}


@pytest.mark.parametrize("levels", [[("images", "masks")], [TISSUES, ("images", "nuclei_masks")]])
def test_masks_beside_images_are_no_tissue(tmp_path: Path, levels: list[Sequence[str]]) -> None:
    with pytest.raises(DataError, match="masks would be read as tissue; move it elsewhere"):
        read(write(tmp_path, product(*levels)))
