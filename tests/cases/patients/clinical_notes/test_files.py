"""Tables of notes in every kind of file, and errors that say what was found."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.patients.clinical_notes.columns import are_of_notes
from mint_ray.cases.patients.clinical_notes.files import peek_columns, read_note_table
from mint_ray.errors import DataError

ROWS = [
    {"note_id": "007", "text": "Short stature,\nand a “cleft” lip."},
    {"note_id": "008", "text": "Ataxia; no seizures"},
]


def write(folder: Path, name: str) -> Path:
    """Write the rows in the kind of file that a name says."""
    path = folder / name
    kind = name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
        return path
    if kind in ("jsonl", "ndjson"):
        text = "".join(json.dumps(row) + "\n" for row in ROWS)
    elif kind == "json":
        text = json.dumps(ROWS)
    else:
        mark = "\t" if kind == "tsv" else (";" if "semicolon" in name else ",")
        lines = [["note_id", "text"], *(row.values() for row in ROWS)]
        text = "\ufeff" + "".join(mark.join(f'"{x}"' for x in line) + "\r\n" for line in lines)
    content = text.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "a.parquet",
        "a.csv",
        "semicolon.csv",
        "a.tsv",
        "a.csv.gz",
        "a.jsonl",
        "a.ndjson",
        "a.jsonl.gz",
        "a.json",
    ],
)
def test_every_kind_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    table = read_note_table(path)
    assert (table.columns, list(table.rows)) == (("note_id", "text"), ROWS)
    assert are_of_notes(peek_columns(path))


def test_a_saved_dataset_is_read_with_the_names_of_its_classes(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs the package datasets")
    names = datasets.ClassLabel(names=["Amber syndrome", "Bole disease"])
    features = datasets.Features({"text": datasets.Value("string"), "label": names})
    rows = {"text": ["Ataxia.", "Short stature."], "label": [1, 0]}
    part = datasets.Dataset.from_dict(rows, features=features)
    part.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"a": part, "b": part}).save_to_disk(str(tmp_path / "two"))
    table = read_note_table(tmp_path / "one")
    assert [row and row["label"] for row in table.rows] == ["Bole disease", "Amber syndrome"]
    assert len(read_note_table(tmp_path / "two").rows) == 4
    assert are_of_notes(peek_columns(tmp_path / "two"))


def test_a_damaged_line_is_a_row_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "Ataxia."}\n{"text": \n7\n\n{"text": "Ptosis."}\n')
    assert [row is None for row in read_note_table(path).rows] == [False, True, True, False]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"Ataxia.", "found another kind of file"),
        ("a.parquet", b"PAR1", "expected a parquet table of notes"),
        ("a.csv", b"text\n\xff\xfe\n", "expected a table in UTF-8, found bytes of another"),
        ("a.csv", b"PK\x03\x04xl/worksheets", "found an Excel workbook"),
        (
            "a.csv.gz",
            gzip.compress(b"text\n" * 99, mtime=0)[:-9],
            "expected a gzip file with a tab",
        ),
        ("a.json", b'[{"text": "Ataxia."}, {"te', "found one that is damaged or cut short"),
        ("a.csv", b"text,age,age\nAtaxia.,1,2\n", "found age more than once"),
        (
            "a.jsonl.gz",
            gzip.compress(b'{"text": "x"}', mtime=0)[:-9],
            "expected JSON lines of notes",
        ),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_note_table(tmp_path / name)


def test_a_folder_without_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found neither"):
        read_note_table(tmp_path)
    with pytest.raises(DataError, match="found nothing there"):
        read_note_table(tmp_path / "absent.csv")
    assert peek_columns(tmp_path) == ()


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["clinical_note", "case_id"], True),
        (["Text", "id"], True),
        (["case_id", "note"], False),  # a case table
        (["case_id", "note", "label_id", "label_name"], False),
        (["case_id", "note", "Disease"], True),  # whose answer is to be masked
        (["case_id", "note", "gene", "terms"], False),
        (["case_id", "terms", "description"], False),
        (["Case ID", "Terms", "Description"], False),
        (["Case_ID", "Note", "Terms"], False),
        (["id", "phenotypicFeatures"], False),
    ],
)
def test_tables_of_notes_are_told_from_case_tables(columns: list[str], expected: bool) -> None:
    assert are_of_notes(columns) is expected


CSV = 'id,text\n7,"Ataxia, mild."\n8,No tremor.\n'
READ = [{"id": "7", "text": "Ataxia, mild."}, {"id": "8", "text": "No tremor."}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV.encode("utf-16")),
        ("a.csv", CSV.replace("\n", "\r").encode()),
        ("a.csv", b"\n" + CSV.encode()),
        ("a.csv", b"sep=,\r\n" + CSV.encode()),
        ("a.csv", b"id|text\n7|Ataxia, mild.\n8|No tremor.\n"),
        ("a.csv", b"id;text\n7;Ataxia, mild.;\n8;No tremor.;\n"),
        ("a.tsv", CSV.encode()),
        ("a.csv", gzip.compress(CSV.encode(), mtime=0)),
        ("a.csv.gz", gzip.compress(CSV.encode("utf-16"), mtime=0)),
        ("a.csv.gz", CSV.encode()),
        ("a.jsonl", "\n".join(map(json.dumps, READ)).encode("utf-16")),
        ("a.json", json.dumps({"data": READ, "n": 2}).encode()),
        ("a.json", json.dumps({k: dict(enumerate(r[k] for r in READ)) for k in READ[0]}).encode()),
    ],
)
def test_tables_as_other_programs_write_them(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    table = read_note_table(tmp_path / name)
    assert (list(table.rows), table.skipped_lines) == (READ, 0)
    assert are_of_notes(peek_columns(tmp_path / name))


def test_one_note_as_an_object_on_several_lines(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(READ[0], indent=1))
    assert list(read_note_table(tmp_path / "a.json").rows) == READ[:1]
    assert are_of_notes(peek_columns(tmp_path / "a.json"))


@pytest.mark.parametrize(
    "content",
    [
        {"id": "p", "phenotypicFeatures": [{"type": {"id": "HP:1"}, "description": "text"}]},
        [{"id": "p", "text": "a", "metaData": {}}],
        {"id": "f", "proband": {"id": "p"}},
        "text",
        3,
        [],
        [["text"]],
    ],
)
def test_other_json_is_no_table_of_notes(tmp_path: Path, content: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert not are_of_notes(peek_columns(tmp_path / "a.json"))


def test_lines_with_other_fields_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n7,Ataxia, mild.\n8,No tremor.\n9\n")
    table = read_note_table(tmp_path / "a.csv")
    assert (list(table.rows), table.skipped_lines) == (READ[1:], 2)


def test_names_of_columns_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ID,Clinical Note\n7,Ataxia.\n")
    assert read_note_table(tmp_path / "a.csv").columns == ("ID", "Clinical Note")


def test_the_first_lines_that_are_rows_say_which_columns_there_are(tmp_path: Path) -> None:
    lines = ["", json.dumps({"id": 1}), json.dumps({"id": 2, "text": "Ataxia."})]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert are_of_notes(peek_columns(tmp_path / "a.jsonl"))
