"""Folders of images: labels, groups, squares, and every bad file a counted rejection."""

import io
import os
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
from PIL import Image

from mint_ray.cases.schema import RejectedCase
from mint_ray.cases.tiles.finish import finish_tiles
from mint_ray.cases.tiles.folder import ImageFolder, image_source
from mint_ray.cases.tiles.image_table import ImageTable
from mint_ray.cases.tiles.source import TileRef
from mint_ray.config.cases import CasesConfig, ImagesConfig
from mint_ray.errors import DataError
from mint_ray.images.decode import TOO_LARGE
from tests.cases.tiles.image_examples import BAD, GOOD, ODD, encode, noise


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def outcomes(root: Path, **settings: object) -> dict[str, str | None]:
    """Case id -> reason, None for a case that can be used."""
    config = CasesConfig(source="images", path=root, images=ImagesConfig(**settings))
    source = ImageFolder(root, config.images)
    found = list(source.list_tiles())
    places = [item for item in found if isinstance(item, TileRef)]
    done = finish_tiles(places, source, config)
    reasons = {item.case_id: item.reason for item in found if isinstance(item, RejectedCase)}
    return reasons | {p.case_id: d.reason for p, d in zip(places, done, strict=True)}


def test_labels_and_groups_are_folders(tmp_path: Path) -> None:
    files = ["adrenal_gland/p1/a.png", "Adrenal gland/p1/b/c.png", "Lung/d.png", "Lung/e.png"]
    write(tmp_path, dict.fromkeys(files, GOOD))
    places = [
        p for p in ImageFolder(tmp_path, ImagesConfig()).list_tiles() if isinstance(p, TileRef)
    ]
    assert [(p.label_id, p.label_name, p.group_id) for p in places] == [
        ("TISSUE:adrenal_gland", "Adrenal gland", "p1"),
        ("TISSUE:lung", "Lung", "Lung/d.png"),
        ("TISSUE:lung", "Lung", "Lung/e.png"),
        ("TISSUE:adrenal_gland", "Adrenal gland", "p1"),
    ]


def test_every_bad_file_is_counted_and_every_odd_one_is_used(tmp_path: Path) -> None:
    bad = {f"Lung/p/{name}": content for name, (content, _) in BAD.items()}
    odd = {f"Lung/p/{name}": content for name, content in ODD.items()}
    others = {"stray.png": GOOD, "Lung/p/.DS_Store": b"", "Lung/.cache/x.png": GOOD}
    write(tmp_path, bad | odd | others)
    assert outcomes(tmp_path) == (
        {f"Lung/p/{name}": reason for name, (_, reason) in BAD.items()}
        | dict.fromkeys(odd)
        | {"stray.png": "no_label", "Lung/p/.DS_Store": "hidden_file"}
        | {"Lung/.cache/x.png": "hidden_file"}
    )


def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path) -> None:
    write(tmp_path, {"Lung/p/a.png": GOOD})
    os.mkfifo(tmp_path / "Lung/p/pipe.png")
    (tmp_path / "Lung/p/broken.png").symlink_to("nowhere")
    assert outcomes(tmp_path, tile=32)["Lung/p/pipe.png"] == "image_unreadable"
    assert outcomes(tmp_path)["Lung/p/broken.png"] == "image_unreadable"


def test_squares_are_cut_and_the_rest_is_dropped(tmp_path: Path) -> None:
    half_white = noise(100, 40)
    half_white.paste("white", (50, 0, 100, 40))
    write(tmp_path, {"Lung/p/a.png": encode(half_white), "Lung/p/b.png": encode(noise(30, 30))})
    assert outcomes(tmp_path, tile=32) == {
        "Lung/p/a.png#000_000": None,
        "Lung/p/a.png#000_001": None,
        "Lung/p/a.png#000_002": "image_blank",
        "Lung/p/b.png": "image_too_small",
    }


def test_bytes_are_kept_where_nothing_is_cut(tmp_path: Path) -> None:
    write(tmp_path, {"Lung/p/a.jpg": ODD["turned.jpg"]})
    source = ImageFolder(tmp_path, ImagesConfig())
    (place,) = source.list_tiles()
    (picture,) = source.read_tiles([place])  # type: ignore[list-item]
    assert not isinstance(picture, str)
    assert picture.encoded == ODD["turned.jpg"]
    assert picture.image.size == (48, 64)


def test_what_other_programs_read_wrongly_is_stored_anew(tmp_path: Path) -> None:
    """A file whose first image is a thumbnail, in 12 of 16 bits."""
    deep = np.asarray(noise()).astype(np.uint16) << 4
    (tmp_path / "Lung").mkdir()
    with tifffile.TiffWriter(tmp_path / "Lung/a.tif") as writer:
        writer.write(deep[::4, ::4], photometric="rgb", subfiletype=1)
        writer.write(deep, photometric="rgb")
    source = ImageFolder(tmp_path, ImagesConfig())
    (found,) = source.read_tiles(list(source.list_tiles()))  # type: ignore[arg-type]
    assert not isinstance(found, str)
    assert np.array_equal(np.asarray(found.image), np.asarray(noise()))
    with Image.open(io.BytesIO(found.encoded)) as stored:
        assert stored.format == "WEBP"
        assert np.array_equal(np.asarray(stored.convert("RGB")), np.asarray(noise()))
    cut = ImageFolder(tmp_path, ImagesConfig(tile=32))
    assert len(list(cut.list_tiles())) == 4  # of 64 × 64 pixels, not of the thumbnail's 16 × 16


def test_the_kind_of_source_is_found(tmp_path: Path) -> None:
    write(tmp_path, {"folder/Lung/a.png": GOOD, "file.csv": b"", "bad/x.parquet": b"PAR1"})
    assert isinstance(image_source(tmp_path / "folder", ImagesConfig()), ImageFolder)
    for name in ("file.csv", "bad", "nowhere"):
        with pytest.raises(DataError, match="expected a"):
            image_source(tmp_path / name, ImagesConfig())
    columns = {"label": ["Lung"], "group": ["p"], "image": [GOOD]}
    pq.write_table(pa.table(columns), tmp_path / "file.parquet")
    assert isinstance(image_source(tmp_path / "file.parquet", ImagesConfig()), ImageTable)
    assert isinstance(image_source(tmp_path, ImagesConfig()), ImageTable)


def test_a_decompression_bomb_costs_no_memory(tmp_path: Path) -> None:
    """7.5 GB of pixels in a file of 7 MB."""
    import resource
    import struct

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    squeeze, rows = zlib.compressobj(1), bytes(10 * 150_001)
    pixels = b"".join(squeeze.compress(rows) for _ in range(200)) + squeeze.flush()
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)
    write(tmp_path, {"Lung/p/bomb.png": bomb + chunk(b"IEND", b"")})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert outcomes(tmp_path) == outcomes(tmp_path, tile=64) == {"Lung/p/bomb.png": TOO_LARGE}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 * 1024  # kB
