from pathlib import Path

import pyarrow as pa
import pytest

from mint_ray.common.cache import cached_table


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.txt"
    path.write_text("one")
    return path


class Builder:
    """Counts how often the table is built."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return pa.table({"n": [1, 2, 3]}).replace_schema_metadata({"version": "v"})


def test_a_table_is_built_once_and_keeps_its_metadata(folder, source):
    build = Builder()
    tables = [cached_table("t", [source], 1, build) for _ in range(3)]
    assert build.calls == 1
    assert tables[2].equals(tables[0], check_metadata=True)


@pytest.mark.parametrize("change", ["source", "version"])
def test_another_source_or_parser_is_another_entry(folder, source, change):
    build = Builder()
    cached_table("t", [source], 1, build)
    if change == "source":
        source.write_text("two")
    cached_table("t", [source], 2 if change == "version" else 1, build)
    assert build.calls == 2


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_a_damaged_entry_is_rebuilt(folder, source, damage):
    build = Builder()
    cached_table("t", [source], 1, build)
    (entry,) = folder.glob("*.parquet")
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 1
    entry.write_bytes({"flip": bytes(content), "truncate": content[:-9], "empty": b""}[damage])
    assert cached_table("t", [source], 1, build)["n"].to_pylist() == [1, 2, 3]
    assert cached_table("t", [source], 1, build)["n"].to_pylist() == [1, 2, 3]
    assert build.calls == 2


def test_an_interrupted_write_leaves_nothing(folder, source, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        cached_table("t", [source], 1, Builder())
    assert list(folder.iterdir()) == []


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, source, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MINT_CACHE", str(tmp_path / "file"))
    assert cached_table("t", [source], 1, Builder()).num_rows == 3
