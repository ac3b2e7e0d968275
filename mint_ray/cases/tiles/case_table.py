"""Tiles of a user's own case table (`cases.source: parquet`): rows of cases with images."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mint_ray.cases.schema import RejectedCase
from mint_ray.cases.table import SOURCE
from mint_ray.cases.tiles.image_table import image_bytes, iter_rows, read_schema, text_of
from mint_ray.cases.tiles.source import TileImage, TileRef
from mint_ray.cases.tiles.tissue_labels import tissue_label
from mint_ray.cases.tiles.whole_images import open_image, tile_image_of
from mint_ray.common.parquet import class_names
from mint_ray.common.row_cursor import RowCursor
from mint_ray.errors import DataError

_REQUIRED = ("case_id", "image")
_TEXT_COLUMNS = ("case_id", "group_id", "label_id", "label_name", "description")


class TileTable:
    """A table of tiles with the columns `case_id`, `image`, and `label_id` or `label_name`.

    `group_id` defaults to `case_id`. A missing label id is derived from the name, a missing name
    from the id. Rows are rejected with `no_id`, `duplicate_id` or `no_label`. Notes and terms are
    not read.

    Raises:
        DataError: the file is not a parquet table, or a column is missing.
    """

    name = SOURCE
    reading = ""

    def __init__(self, file: Path) -> None:
        self._file, self._columns = file, read_schema(file).names
        missing = [name for name in _REQUIRED if name not in self._columns]
        if missing or not {"label_id", "label_name"} & set(self._columns):
            raise DataError(
                f"{file}: expected columns case_id, image, and label_id or label_name, found "
                f"{', '.join(self._columns)}; add the missing columns"
            )
        self._cursor: RowCursor | None = None

    def list_tiles(self) -> Iterator[TileRef | RejectedCase]:
        """Yield every row, without its image."""
        known_ids: set[str] = set()
        columns = [name for name in _TEXT_COLUMNS if name in self._columns]
        classes = class_names(read_schema(self._file))
        for number, row in enumerate(iter_rows(self._file, columns)):
            text = {name: text_of(row.get(name), classes.get(name)) for name in _TEXT_COLUMNS}
            case_id = text["case_id"]
            label = tissue_label(text["label_name"] or text["label_id"].rpartition(":")[2])
            if not case_id or case_id in known_ids or label is None:
                reason = "no_id" if not case_id else "duplicate_id" if case_id in known_ids else ""
                yield RejectedCase(case_id, SOURCE, reason or "no_label")
                continue
            known_ids.add(case_id)
            yield TileRef(
                case_id,
                text["group_id"] or case_id,
                text["label_id"] if ":" in text["label_id"] else label[0],
                text["label_name"] or label[1],
                description=text["description"],
                row=number,
            )

    def read_tiles(self, refs: Sequence[TileRef]) -> Iterator[TileImage | str]:
        """Yield the images; see `open_image`."""
        self._cursor = self._cursor or RowCursor(self._file, ["image"])
        for ref in refs:
            opened = open_image(image_bytes(self._cursor.row(ref.row)["image"]))
            yield tile_image_of(ref, opened, None)
