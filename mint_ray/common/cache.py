"""Folder of downloaded and computed files that all runs of a user share, and parsed tables in it.

The folder is `$MINT_CACHE`, by default `~/.cache/mint_ray`. The name of a table's entry contains a
hash of the content of its source files and of the parser's version, so that a stale entry is
never found. It also contains the digest of the entry's own bytes, so that a damaged entry is
noticed and rebuilt.
"""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.common.digests import digest_of, sha256
from mint_ray.common.files import write_bytes

logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return the cache folder: `MINT_CACHE`, else `~/.cache/mint_ray`. It need not exist."""
    chosen = os.environ.get("MINT_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "mint_ray"


def cached_table(
    name: str,
    sources: Sequence[Path],
    version: int,
    build: Callable[[], pa.Table],
    settings: Sequence[str] = (),
    most: int | None = None,
) -> pa.Table:
    """Return the table that `build` makes of `sources`, from the cache if it is there.

    Args:
        name: short name of the entry.
        sources: files that `build` reads; their content is part of the key.
        version: version of the parser; raise it when `build` changes.
        build: makes the table; called if the entry is missing or damaged.
        settings: whatever else the table depends on; part of the key.
        most: largest number of entries of this name; the oldest ones go. None for no limit.

    A cache that cannot be written is logged. It costs time, but does not change the result.
    """
    stem = f"{name}-{_key(sources, version, settings)}"
    table = _read(stem)
    if table is None:
        table = build()
        try:
            _write(stem, table)
            if most is not None:
                _leave(name, most)
        except OSError as error:
            logger.warning("cache folder %s cannot be written: %s", cache_folder(), error.strerror)
    return table


def _key(sources: Sequence[Path], version: int, settings: Sequence[str]) -> str:
    contents = (bytes.fromhex(sha256(source)) for source in sources)
    return digest_of(str(version), *contents, *settings)[:16]


def _leave(name: str, most: int) -> None:
    """Remove all but the newest entries of a name."""
    written = {path: path.stat().st_mtime for path in cache_folder().glob(f"{name}-*.parquet")}
    for path in sorted(written, key=lambda path: written[path])[:-most]:
        path.unlink(missing_ok=True)


def _read(stem: str) -> pa.Table | None:
    for path in sorted(cache_folder().glob(f"{stem}-*.parquet")):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if path.stem == f"{stem}-{digest_of(content)[:16]}":
            return pq.read_table(pa.BufferReader(content))
        logger.warning("damaged cache entry %s is rebuilt", path.name)
        path.unlink(missing_ok=True)
    return None


def _write(stem: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / f"{stem}-{digest_of(content)[:16]}.parquet", content)
