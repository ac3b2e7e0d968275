"""PanNuke's folders: layouts, official splits, bad rows, and nothing unpickled."""

from pathlib import Path

import numpy as np
import pytest

from mint_ray.cases.schema import RejectedCase
from mint_ray.cases.tiles.finish import finish_tiles
from mint_ray.cases.tiles.pannuke import PanNuke
from mint_ray.cases.tiles.source import TileImage, TileRef
from mint_ray.config.cases import CasesConfig
from mint_ray.errors import ConfigError, DataError

SPLITS = ("train", "validation", "test")
TYPES = np.array(["Adrenal_gland", "HeadNeck", "Bile-duct", "Breast"])


def write_fold(images: Path, masks: Path, kind: str = "float64", types: object = TYPES) -> None:
    images.mkdir(parents=True, exist_ok=True)
    masks.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 200, (4, 32, 32, 3)).astype(kind)
    nuclei = np.zeros((4, 32, 32, 6))
    nuclei[:, 4:12, 4:12, 0], nuclei[:, 20:28, 4:12, 1], nuclei[..., 5] = 1, 1, 1
    np.save(images / "images.npy", pixels)
    np.save(images / "types.npy", types)
    np.save(masks / "masks.npy", nuclei)


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """As the released archives unpack."""
    for n in (1, 2, 3):
        fold = tmp_path / f"Fold {n}"
        write_fold(fold / f"images/fold{n}", fold / f"masks/fold{n}")
    return tmp_path


def finished(root: Path) -> dict[str, str | None]:
    config = CasesConfig(source="pannuke", path=root)
    source = PanNuke(root, SPLITS)
    places = [place for place in source.list_tiles() if isinstance(place, TileRef)]
    done = finish_tiles(places, source, config)
    return {place.case_id: tile.reason for place, tile in zip(places, done, strict=True)}


def test_official_folds_labels_and_masks(released: Path) -> None:
    source = PanNuke(released, SPLITS)
    places = [place for place in source.list_tiles() if isinstance(place, TileRef)]
    assert [(p.case_id, p.group_id, p.split, p.label_name) for p in places[:5]] == [
        ("pannuke-1-00000", "fold:1", "train", "Adrenal gland"),
        ("pannuke-1-00001", "fold:1", "train", "Head and neck"),
        ("pannuke-1-00002", "fold:1", "train", "Bile duct"),
        ("pannuke-1-00003", "fold:1", "train", "Breast"),
        ("pannuke-2-00000", "fold:2", "validation", "Adrenal gland"),
    ]
    (picture,) = source.read_tiles(places[:1])
    assert isinstance(picture, TileImage)
    pixels = np.load(released / "Fold 1/images/fold1/images.npy")[0]
    assert np.array_equal(np.asarray(picture.image), pixels)
    assert picture.mask is not None
    assert len(np.unique(picture.mask)) == 3  # nuclei of two kinds with the same number


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_flat_folders_and_other_numbers(tmp_path: Path, kind: str) -> None:
    for n in (1, 2, 10):
        write_fold(tmp_path / f"fold_{n}", tmp_path / f"fold_{n}", kind, TYPES.astype("S"))
    (tmp_path / "fold_1" / "masks.npy").unlink()
    places = [p for p in PanNuke(tmp_path, SPLITS).list_tiles() if isinstance(p, TileRef)]
    assert {p.group_id: p.split for p in places} == {
        "fold:1": "train",
        "fold:2": "validation",
        "fold:10": "test",
    }
    assert set(finished(tmp_path).values()) == {None}


def test_bad_rows_are_counted(released: Path) -> None:
    folder = released / "Fold 1/images/fold1"
    images = np.load(folder / "images.npy")
    images[0, 3, 3], images[1], images[2] = np.nan, 255, images[2] * 10
    np.save(folder / "images.npy", images)
    np.save(folder / "types.npy", np.array(["Breast", "Breast", "Breast", ""]))
    reasons = {i: r for i, r in finished(released).items() if i.startswith("pannuke-1")}
    assert list(reasons.values()) == ["image_unreadable", "image_blank", "image_unreadable"]
    assert (
        RejectedCase("pannuke-1-00003", "pannuke", "no_label")
        in PanNuke(released, SPLITS).list_tiles()
    )


def test_pickled_arrays_are_refused(released: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (tmp_path / "sprung").touch, ()

    types = np.array([Trap()] * 4, dtype=object)
    np.save(released / "Fold 2/images/fold2/types.npy", types, allow_pickle=True)
    with pytest.raises(DataError, match="never loaded"):
        list(PanNuke(released, SPLITS).list_tiles())
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        ("images", np.zeros((4, 32, 32)), "height, width, 3"),
        ("images", np.zeros((4, 32, 32, 3), "datetime64[s]"), "of numbers"),
        ("types", np.zeros(4), "of text"),
        ("types", TYPES[:3], "expected 4 types"),
        ("images", np.zeros((4, 3, 32, 32)), r"found \(4, 3, 32, 32\).*moveaxis"),
        ("masks", np.zeros((4, 6, 32, 32)), r"\(4, 32, 32, 6\).*found \(4, 6, 32, 32\).*moveaxis"),
        (
            "masks",
            np.zeros((4, 32, 32)),
            r"expected an array \(4, 32, 32, 6\).*found \(4, 32, 32\)",
        ),
        ("masks", np.zeros((4, 32, 32, 5)), r"found \(4, 32, 32, 5\)"),
        ("masks", np.zeros((3, 32, 32, 6)), r"found \(3, 32, 32, 6\)"),
        ("masks", np.zeros((4, 16, 16, 6)), r"found \(4, 16, 16, 6\)"),
        ("masks", np.zeros((4, 32, 32, 6), "U1"), "of numbers"),
    ],
)
def test_arrays_of_another_kind(
    released: Path, name: str, array: np.ndarray, expected: str
) -> None:
    kind = "masks" if name == "masks" else "images"
    np.save(released / f"Fold 3/{kind}/fold3/{name}.npy", array)
    with pytest.raises(DataError, match=expected):
        next(PanNuke(released, SPLITS).list_tiles())  # before the first tile of any fold


def test_a_file_that_is_cut_short(released: Path) -> None:
    file = released / "Fold 1/images/fold1/images.npy"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(DataError, match="cut short"):
        list(PanNuke(released, SPLITS).list_tiles())


def test_folds_behind_links(released: Path, tmp_path: Path) -> None:
    root = tmp_path / "linked"
    root.mkdir()
    for number in (1, 2, 3):
        (root / f"Fold {number}").symlink_to(released / f"Fold {number}")
    assert len(list(PanNuke(root, SPLITS).list_tiles())) == 12


def test_folders_that_are_not_pannuke(released: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found none"):
        PanNuke(tmp_path / "empty", SPLITS)
    with pytest.raises(ConfigError, match="official_splits"):
        PanNuke(released, ("train", "test"))
