"""PanNuke as it is published (Gamper et al., 2020, arXiv 2003.10778): folders of NumPy arrays.

A fold has `images.npy` (n, 256, 256, 3) and `types.npy` (n,) in one folder, and `masks.npy`
(n, 256, 256, 6: numbered nuclei of five kinds, then the background) beside them or, as in the
released archives, in `masks/` instead of `images/`. The arrays have several gigabytes: they are
memory-mapped, never loaded whole, and nothing is unpickled.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mint_ray.cases.schema import RejectedCase, Split
from mint_ray.cases.tiles.source import TileImage, TileRef
from mint_ray.cases.tiles.tissue_labels import tissue_label
from mint_ray.common.folders import files_below
from mint_ray.errors import ConfigError, DataError
from mint_ray.images.faults import UNREADABLE
from mint_ray.images.tiling import encode_tile

_KINDS = 5  # mask channels that hold nuclei; the one after them is the background
_APART = 1 << 16  # offset between the numbers of nuclei of two kinds
_IMAGES = "(n, height, width, 3) of numbers"
_MASKS = f"(n, height, width, {_KINDS + 1}) of numbers"


class Fold(NamedTuple):
    """Files of one fold's arrays; `masks` is None if the fold has no masks."""

    name: str
    images: Path
    types: Path
    masks: Path | None


class PanNuke:
    """The folds below a folder, each a group of its own, with their `splits` in the same order.

    Raises:
        ConfigError: the number of splits differs from the number of folds.
        DataError: see `find_folds`.
    """

    name = "pannuke"
    reading = ""

    def __init__(self, root: Path, splits: Sequence[Split]) -> None:
        self._folds = {fold.name: fold for fold in find_folds(root)}
        if len(self._folds) != len(splits):
            raise ConfigError(
                f"cases.images.official_splits: expected one split for each of the folds "
                f"{', '.join(self._folds)} of {root}, found {len(splits)}: {', '.join(splits)}"
            )
        self._splits = dict(zip(self._folds, splits, strict=True))
        self._arrays: dict[Path, NDArray[Any]] = {}

    def list_tiles(self) -> Iterator[TileRef | RejectedCase]:
        """Yield every image of every fold, labelled; ids are `pannuke-<fold>-<row>`.

        Raises:
            DataError: an array of any fold has another shape or type, or cannot be mapped.
        """
        for fold in self._folds.values():
            self._check_arrays(fold)
        for fold in self._folds.values():
            types = self._types(fold)
            for row, text in enumerate(types):
                case_id, label = f"pannuke-{fold.name}-{row:05d}", tissue_label(str(text))
                if label is None:
                    yield RejectedCase(case_id, self.name, "no_label")
                    continue
                group, split = f"fold:{fold.name}", self._splits[fold.name]
                yield TileRef(case_id, group, *label, split=split, file=fold.name, row=row)

    def read_tiles(self, refs: Sequence[TileRef]) -> Iterator[TileImage | str]:
        """Yield the images, or `image_unreadable` for values that are not finite, from 0 to 255."""
        for ref in refs:
            fold = self._folds[ref.file]
            values = np.asarray(self._map(fold.images, "numbers")[ref.row])
            if not np.isfinite(values).all() or values.min() < 0 or values.max() > 255:
                yield UNREADABLE
                continue
            image = Image.fromarray(values.round().astype(np.uint8))
            yield TileImage(encode_tile(image), image, self._mask(fold, ref.row))

    def _check_arrays(self, fold: Fold) -> None:
        types, images = self._types(fold), self._map(fold.images, _IMAGES)
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype.kind not in "uif":
            raise _wrong_array(fold.images, _IMAGES, images)
        if len(types) != len(images):
            raise DataError(
                f"{fold.types}: expected {len(images)} types, one for each image, found "
                f"{len(types)}; download the fold again"
            )
        if fold.masks is None:
            return
        masks, expected = self._map(fold.masks, _MASKS), (*images.shape[:3], _KINDS + 1)
        if masks.shape != expected or masks.dtype.kind not in "uif":
            raise _wrong_array(fold.masks, f"{expected} of numbers, as images.npy has", masks)

    def _mask(self, fold: Fold, row: int) -> NDArray[np.int32] | None:
        if fold.masks is None:
            return None
        masks = self._map(fold.masks, _MASKS)
        kinds = np.nan_to_num(np.asarray(masks[row, ..., :_KINDS])).astype(np.int32)
        numbered = np.where(kinds > 0, kinds % _APART + _APART * np.arange(_KINDS), 0)
        mask: NDArray[np.int32] = numbered.max(-1).astype(np.int32)
        return mask

    def _types(self, fold: Fold) -> NDArray[Any]:
        types = self._map(fold.types, "(n,) of text")
        if types.ndim != 1 or types.dtype.kind not in "US":
            raise _wrong_array(fold.types, "(n,) of text", types)
        return np.char.decode(types, "latin-1") if types.dtype.kind == "S" else types

    def _map(self, file: Path, expected: str) -> NDArray[Any]:
        if file not in self._arrays:
            try:
                self._arrays[file] = np.load(file, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise DataError(
                    f"{file}: expected an array {expected}, found one that cannot be mapped: "
                    "damaged, cut short, or pickled Python objects, which are never loaded; "
                    "download it again, or save it again with a plain dtype (of names, "
                    "`np.save(file, types.astype(str))` where the file is trusted)"
                ) from error
        return self._arrays[file]


def find_folds(root: Path) -> list[Fold]:
    """Find the folds below a folder, in the order of their names (2 before 10).

    Raises:
        DataError: there is no fold, a fold has no types, or two folds have the same name.
    """
    folds = []
    found = [root / file.name for file in files_below(root) if file.reason is None]
    for images in sorted(file for file in found if file.name == "images.npy"):
        types = images.with_name("types.npy")
        if not types.is_file():
            raise DataError(
                f"{images.parent}: expected types.npy beside images.npy, found none; download the "
                "fold again"
            )
        folds.append(Fold(_fold_name(root, images), images, types, _masks_of(images)))
    names = [fold.name for fold in folds]
    if not folds or len(set(names)) < len(names):
        raise DataError(
            f"{root}: expected PanNuke's fold folders, each with images.npy and types.npy and a "
            f"number of its own in its name, found {', '.join(names) or 'none'}; check the path "
            "and the names of the folders"
        )
    return sorted(folds, key=lambda fold: fold.name.zfill(9))


def _fold_name(root: Path, images: Path) -> str:
    """Return the number in the nearest folder's name with a number, else the nearest name."""
    for part in reversed(images.parent.relative_to(root).parts or (root.name,)):
        if number := re.search(r"\d+", part):
            return str(int(number[0]))
    return images.parent.name


def _masks_of(images: Path) -> Path | None:
    beside = images.with_name("masks.npy")
    if beside.is_file():
        return beside
    # As released: Fold 1/images/fold1/images.npy and Fold 1/masks/fold1/masks.npy
    inner, outer = images.parent, images.parent.parent
    if outer.name != "images":
        return None
    apart = outer.with_name("masks") / inner.name / "masks.npy"
    return apart if apart.is_file() else None


def _wrong_array(file: Path, expected: str, array: NDArray[Any]) -> DataError:
    advice = "download the fold again"
    if array.ndim == 4 and array.shape[1] in (3, _KINDS + 1):
        advice = "move the channels to the end with `np.moveaxis(array, 1, -1)`"
    return DataError(
        f"{file}: expected an array {expected}, found {array.shape} of {array.dtype}; {advice}"
    )
