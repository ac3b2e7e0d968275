"""Tiles of a folder of image files, such as `<label>/<group>/<file>` or `train/<label>/<file>`."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from mint_ray.cases.schema import RejectedCase
from mint_ray.cases.tiles.folder_levels import (
    Level,
    describe_levels,
    place_of,
    read_levels,
    split_of,
)
from mint_ray.cases.tiles.image_table import ImageTable
from mint_ray.cases.tiles.source import TileImage, TileRef
from mint_ray.cases.tiles.tissue_labels import tissue_label
from mint_ray.cases.tiles.whole_images import Opened, open_image, tile_image_of, tile_refs_of
from mint_ray.common.folders import files_below
from mint_ray.config.cases import ImagesConfig
from mint_ray.errors import DataError
from mint_ray.images.faults import UNREADABLE
from mint_ray.images.files import read_file

SOURCE = "images"
_SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")


class ImageFolder:
    """Image files below a folder; the ids are their paths below it.

    `read_levels` decides which folder names the split, the label, and the group (patient or
    slide). A file without a group's folder is a group of its own. Other files become rejections:
    `no_label` (a file outside any label's folder), `no_split` (a file outside any split's folder),
    those of `files_below`, `image_unreadable`, `image_too_large`.

    Raises:
        DataError: the folder is absent, or is a data set that `datasets` saved.
    """

    name = SOURCE

    def __init__(self, root: Path, config: ImagesConfig) -> None:
        if not root.is_dir():
            raise DataError(
                f"{root}: expected a folder <label>/<group>/<file> or a parquet table, found "
                f"{'a file of another kind' if root.exists() else 'nothing there'}; check the path"
            )
        if saved := next((name for name in _SAVED if (root / name).is_file()), None):
            raise DataError(
                f"{root}: expected a folder <label>/<group>/<file> or parquet tables, found a data "
                f"set of Arrow files that `datasets` saved ({saved}); load it with "
                "`datasets.load_from_disk` and write each split with `to_parquet`"
            )
        self._root, self._config = root, config
        self.reading = ""

    def list_tiles(self) -> Iterator[TileRef | RejectedCase]:
        """Yield every file, by its path; a file is opened only if it is to be cut.

        Raises:
            DataError: see `read_levels`.
        """
        files = files_below(self._root)
        usable = [file.name for file in files if file.reason is None]
        parents = {tuple(name.split("/")[:-1]) for name in usable} - {()}
        levels = read_levels(self._root, parents, self._config) if parents else ()
        self.reading = describe_levels(parents, levels)
        for file in files:
            whole = file.reason or self._whole_image(file.name, levels)
            if isinstance(whole, str):
                yield RejectedCase(file.name, SOURCE, whole)
            else:
                read = partial(self._read, file.name)
                yield from tile_refs_of(whole, self._config.tile, read, SOURCE)

    def _whole_image(self, name: str, levels: Sequence[Level]) -> TileRef | str:
        """Return the reference to a file, or a reason."""
        place = place_of(tuple(name.split("/")[:-1]), levels)
        text = place.label or ""
        label = tissue_label(self._config.label_names.get(text, text))
        if label is None:
            return "no_label"
        split = split_of(place.split or "")
        if "split" in levels and split is None:
            return "no_split"
        # A group folder of the same name under another label may be the same patient.
        return TileRef(name, place.group or name, *label, split=split, file=name)

    def read_tiles(self, refs: Sequence[TileRef]) -> Iterator[TileImage | str]:
        """Yield the images or their squares; consecutive squares share one decoding of the file."""
        file, opened = "", Opened(b"", UNREADABLE)
        for ref in refs:
            if ref.file != file:
                file, opened = ref.file, open_image(self._read(ref.file))
            yield tile_image_of(ref, opened, self._config.tile)

    def _read(self, name: str) -> bytes | str:
        return read_file(self._root / name)


def image_source(path: Path, config: ImagesConfig) -> ImageFolder | ImageTable:
    """Return the table at `path`, the tables in the folder `path`, or the folder of images.

    Tables may also lie in the folder `data`, where Hugging Face's hub keeps them.

    Raises:
        DataError: `path` is absent, or a table is damaged or lacks a column.
    """
    if path.is_file():
        return ImageTable([path], config)
    tables = sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))
    return ImageTable(tables, config) if tables else ImageFolder(path, config)
