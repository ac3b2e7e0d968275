"""Rows of small tables, in every form that a file may have."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.common.tables.rows import read_rows
from mint_ray.errors import DataError

ROWS = [{"id": "7", "name": "Rust, on wheat"}, {"id": "8", "name": ""}]


def write(path: Path) -> None:
    if path.suffix == ".parquet":
        columns = {"id": [7, 8], "name": [" Rust, on wheat", None], "more": [["a"], []]}
        pq.write_table(pa.table(columns), path)
    elif path.suffix == ".jsonl":
        rows = [{"id": 7, "name": "Rust, on wheat "}, {"id": 8, "name": ["no text"]}]
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        text = "id\tname\n7\tRust, on wheat\n8\t\n"
        if ".csv" in path.name:
            text = '\ufeffID,name\n7,"Rust, on wheat"\n8,\n'
        content = text.encode()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize(
    "name", ["x.parquet", "x.csv", "x.tsv", "x.txt", "x.csv.gz", "x.tsv.gz", "x.jsonl"]
)
def test_every_form_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    table = read_rows(tmp_path / name, "names", required=("id", "name"))
    assert [{key: row[key] for key in ("id", "name")} for row in table.rows] == ROWS
    assert table.bad == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", "id,name\n7,Rust\n8\n9,Scab,Wilt\n"),
        ("x.jsonl", '{"id": 7, "name": "Rust"}\n[8]\n{"id"'),
    ],
)
def test_lines_that_are_no_row_are_counted(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    table = read_rows(tmp_path / name, "names")
    assert table.rows == [{"id": "7", "name": "Rust"}]
    assert table.bad == 2


def test_an_absent_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id,title\n7,Rust\n")
    with pytest.raises(DataError, match="the columns id, name, found id, title"):
        read_rows(tmp_path / "x.csv", "names", required=("id", "name"))


@pytest.mark.parametrize(("name", "found"), [("x.json", "JSON"), ("x.csv", "nothing there")])
def test_what_is_no_table_is_refused(name: str, found: str, tmp_path: Path) -> None:
    if name == "x.json":
        (tmp_path / name).write_text("{}")
    with pytest.raises(DataError, match=rf"table of names, or .*found {found}"):
        read_rows(tmp_path / name, "names")


@pytest.mark.parametrize("name", ["x.parquet", "x.jsonl"])
def test_lists_of_synonyms_are_kept(name: str, tmp_path: Path) -> None:
    row = {"id": "1", "name": "Cat", "synonyms": ["Kitty", "", "Puss "], "more": ["a"]}
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / name)
    else:
        (tmp_path / name).write_text(json.dumps(row))
    (found,) = read_rows(tmp_path / name, "names").rows
    assert found == {"id": "1", "name": "Cat", "synonyms": "Kitty|Puss", "more": ""}
