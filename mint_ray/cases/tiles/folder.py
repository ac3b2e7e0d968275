"""Tiles of a folder of image files: `<label>/<group>/<file>`, or `<label>/<file>`."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from mint_ray.cases.schema import RejectedCase
from mint_ray.cases.tiles.image_table import ImageTable
from mint_ray.cases.tiles.source import TileImage, TileRef
from mint_ray.cases.tiles.tissue_labels import tissue_label
from mint_ray.cases.tiles.whole_images import Opened, open_image, tile_image_of, tile_refs_of
from mint_ray.config.cases import ImagesConfig
from mint_ray.errors import DataError
from mint_ray.images.faults import UNREADABLE
from mint_ray.images.files import HIDDEN, is_hidden, names_below, read_file

SOURCE = "images"


class ImageFolder:
    """Image files below a folder; the ids are their paths below it.

    The first folder names the label, the second the patient or slide. A file without a second
    folder is a group of its own. Other files become rejections: `hidden_file` (the name of the
    file or of a folder begins with a dot), `no_label` (a file outside any label's folder),
    `image_unreadable`, `image_too_large`.

    Raises:
        DataError: the folder is absent.
    """

    name = SOURCE

    def __init__(self, root: Path, config: ImagesConfig) -> None:
        if not root.is_dir():
            raise DataError(
                f"{root}: expected a folder <label>/<group>/<file> or a parquet table, found "
                f"{'a file of another kind' if root.exists() else 'nothing there'}; check the path"
            )
        self._root, self._config = root, config

    def list_tiles(self) -> Iterator[TileRef | RejectedCase]:
        """Yield every file, by its path; a file is opened only if it is to be cut."""
        for name in names_below(self._root):
            parts = name.split("/")
            label = tissue_label(parts[0]) if len(parts) > 1 else None
            if is_hidden(name):
                yield RejectedCase(name, SOURCE, HIDDEN)
            elif label is None:
                yield RejectedCase(name, SOURCE, "no_label")
            else:
                # A group folder of the same name under another label may be the same patient.
                group = parts[1] if len(parts) > 2 else name
                whole = TileRef(name, group, *label, file=name)
                read = partial(self._read, name)
                yield from tile_refs_of(whole, self._config.tile, read, SOURCE)

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

    Raises:
        DataError: `path` is absent, or a table is damaged or lacks a column.
    """
    if path.is_file():
        return ImageTable([path], config)
    tables = sorted(path.glob("*.parquet"))
    return ImageTable(tables, config) if tables else ImageFolder(path, config)
