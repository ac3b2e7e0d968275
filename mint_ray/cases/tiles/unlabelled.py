"""Unlabelled images for predictions: a table, a folder or one file, without answers."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.cases.schema import CASE_SCHEMA, Case, RejectedCase, blank_case
from mint_ray.cases.tiles.image_table import image_bytes
from mint_ray.common.folders import files_below
from mint_ray.errors import DataError
from mint_ray.images.decode import open_tile
from mint_ray.images.files import read_file

SOURCE = "images"
_ROWS = 64


def read_images(path: Path) -> Iterator[Case | RejectedCase]:
    """Yield every image, as a case without an answer or a rejection; one in memory at a time.

    Args:
        path: a parquet table with the columns `case_id` and `image` (encoded bytes, also in the
            form of `datasets`' Image), a folder of image files at any depth, whose ids are their
            paths below it, or one image file.

    A rejection's reason is one of `open_tile`'s, `no_id` or `duplicate_id` (table), or one
    of `files_below`'s (folder).

    Raises:
        DataError: `path` is absent, or is a table without these columns.
    """
    if not path.exists():
        raise DataError(
            f"{path}: expected a parquet table of cases, a folder of images or an image, "
            "found nothing there; check the path"
        )
    images: Iterator[tuple[str, bytes | str | None]]
    if path.is_dir():
        images = _of_folder(path)
    elif path.suffix == ".parquet":
        images = _of_table(path)
    else:
        images = iter([(path.name, read_file(path))])
    earlier_ids: set[str] = set()
    for case_id, image in images:
        reason = _reason(case_id, image, earlier_ids)
        earlier_ids.add(case_id)
        if reason is not None:
            yield RejectedCase(case_id, SOURCE, reason)
        elif isinstance(image, bytes):
            case = blank_case(case_id, SOURCE)
            case["image"] = image
            yield case


def _reason(case_id: str, image: bytes | str | None, earlier_ids: set[str]) -> str | None:
    if not case_id:
        return "no_id"
    if case_id in earlier_ids:
        return "duplicate_id"
    if isinstance(image, str):
        return image
    opened = open_tile(image)
    return opened if isinstance(opened, str) else None


def _of_folder(folder: Path) -> Iterator[tuple[str, bytes | str | None]]:
    for name, reason in files_below(folder):
        yield name, reason or read_file(folder / name)


def _of_table(path: Path) -> Iterator[tuple[str, bytes | str | None]]:
    columns = ["case_id", "image"]
    wanted = pa.schema([CASE_SCHEMA.field(name).with_nullable(True) for name in columns])
    try:
        # With pre_buffer, Arrow keeps every row group that it has read in memory.
        with pq.ParquetFile(path, pre_buffer=False) as file:
            if missing := set(columns) - set(file.schema_arrow.names):
                raise DataError(f"{path}: expected a column {min(missing)}, found none; add it")
            image = file.schema_arrow.field("image")
            if pa.types.is_struct(image.type):  # bytes and path, as `datasets` writes images
                wanted = wanted.set(1, image)
            for batch in file.iter_batches(_ROWS, columns=columns):
                rows = batch.select(columns).cast(wanted)
                for case_id, value in zip(*(c.to_pylist() for c in rows.columns), strict=True):
                    yield case_id or "", image_bytes(value)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: expected a parquet table with the columns case_id (text) and image (encoded "
            f"bytes), found one that cannot be read as such ({type(error).__name__}); write it "
            "again"
        ) from error
