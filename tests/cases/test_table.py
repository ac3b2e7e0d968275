"""A user's own table: defaults, spellings, rejections, and errors that name the column."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import Case, ParsedCase, RejectedCase
from mint_ray.cases.splits import join_groups
from mint_ray.cases.table import has_words, read_case_table
from mint_ray.common.tables.files import is_table_file
from mint_ray.errors import DataError
from mint_ray.knowledge.ontology import load_ontology

ONTOLOGY = load_ontology()


def write(tmp_path: Path, columns: dict[str, list[Any]]) -> Path:
    pq.write_table(pa.table(columns), tmp_path / "mine.parquet")
    return tmp_path / "mine.parquet"


def read(path: Path) -> list[ParsedCase | RejectedCase]:
    return list(read_case_table(path, ONTOLOGY))


def cases(path: Path) -> list[Case]:
    return [item.case for item in read(path) if isinstance(item, ParsedCase)]


def one(tmp_path: Path, **columns: Any) -> ParsedCase:
    row = {"case_id": "a", "note": "Ataxia."} | columns
    (item,) = read(write(tmp_path, {name: [value] for name, value in row.items()}))
    assert isinstance(item, ParsedCase)
    return item


def reasons(path: Path) -> list[tuple[str, str]]:
    return [(i.case_id, i.reason) for i in read(path) if isinstance(i, RejectedCase)]


def test_missing_columns_have_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, {"case_id": ["a"], "note": ["Short stature."], "ward": ["7"]})
    (item,) = read(path)
    assert isinstance(item, ParsedCase)
    assert item.case["group_id"] == "a"
    assert (item.case["terms"], item.case["sex"], item.case["image"]) == ([], "unknown", None)
    assert item.case["source"] == "parquet"


def test_unusable_rows_are_rejected_with_a_reason(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"case_id": ["a", "a", None, "d"], "note": ["Ataxia.", "Ataxia.", "Ataxia.", " "]},
    )
    assert reasons(path) == [("a", "duplicate_id"), ("", "no_id"), ("d", "no_modality")]


@pytest.mark.parametrize(
    "note",
    [
        "",
        "  ",
        "...",
        "nan",
        "None",
        "NULL",
        "N/A",
        "<p></p>",
        "<br/>&nbsp;",
        "___",
        "[REDACTED]",
        "12.3",
    ],
)
def test_a_note_without_a_word_is_none(tmp_path: Path, note: str) -> None:
    assert not has_words(note)
    path = write(tmp_path, {"case_id": ["a"], "note": [note]})
    assert reasons(path) == [("a", "no_modality")]


def test_an_empty_note_beside_findings_is_counted(tmp_path: Path) -> None:
    item = one(tmp_path, note="nan", terms=["HP:0001250"])
    assert (item.case["note"], dict(item.counts)) == ("", {"empty_notes": 1})


@pytest.mark.parametrize("note", ["Ataxia.", "<p>Ataxia</p>", "Patient ___ has none.", "發作"])
def test_notes_with_words(note: str) -> None:
    assert has_words(note)


def test_findings_of_which_none_is_observed_are_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {
            "case_id": ["unknown", "excluded", "none"],
            "terms": [["no seizure"], [], []],
            "excluded_terms": [[], ["HP:0001250"], None],
        },
    )
    assert reasons(path) == [
        ("unknown", "no_observed_features"),
        ("excluded", "no_observed_features"),
        ("none", "no_modality"),
    ]


def test_findings_may_be_names_or_one_text(tmp_path: Path) -> None:
    item = one(tmp_path, terms=["Seizure", "HP:0000057"], excluded_terms="Scoliosis; HP:0001250")
    assert item.case["terms"] == ["HP:0001250", "HP:0008665"]
    assert item.case["excluded_terms"] == ["HP:0002650"]
    assert dict(item.counts) == {
        "grounded_terms": 2,
        "mapped_terms": 1,
        "conflicting_terms": 1,
    }


@pytest.mark.parametrize(
    ("columns", "sex", "age", "counts"),
    [
        ({"sex": "F", "age": "9"}, "female", "P9Y", {}),
        ({"sex": "m", "age": 9}, "male", "P9Y", {}),
        ({"sex": "MALE", "age": 9.5}, "male", "P9Y6M", {}),
        ({"sex": "w", "age": "108 months"}, "female", "P9Y", {}),
        ({"sex": 2, "age": " p9y\n"}, "female", "P9Y", {"sex_by_iso_5218": 1}),
        ({"sex": "?", "age": "nan"}, "unknown", None, {}),
        ({"sex": "fm", "age": "adult"}, "unknown", None, {"unmapped_sex": 1, "unmapped_age": 1}),
        ({"age_months": 18}, "unknown", "P1Y6M", {}),
        ({"Age (months)": 18}, "unknown", "P1Y6M", {}),
        ({"age_days": "10"}, "unknown", "P10D", {}),
        ({"age_days": "6,570"}, "unknown", "P6570D", {}),
        ({"age": "18", "age_unit": "months"}, "unknown", "P1Y6M", {}),
        ({"age": "18", "Age unit": "moons"}, "unknown", None, {"unmapped_age": 1}),
        ({"age_years": 0, "age_months": 7}, "unknown", "P7M", {}),
        ({"age_years": "2", "age_months": "6"}, "unknown", "P2Y6M", {}),
        ({"age_years": "2", "age_months": "30"}, "unknown", "P2Y", {}),
        ({"age": None, "age_months": "6"}, "unknown", "P6M", {}),
    ],
)
def test_sex_and_age(
    tmp_path: Path, columns: dict[str, Any], sex: str, age: str | None, counts: dict[str, int]
) -> None:
    item = one(tmp_path, **columns)
    assert (item.case["sex"], item.case["age"], dict(item.counts)) == (sex, age, counts)


def test_one_disease_in_many_spellings_is_one_label(tmp_path: Path) -> None:
    spellings = ["OMIM:154700", " omim:154700 ", "MIM:154700", "154700", "OMIM 154700", "#154700"]
    path = write(
        tmp_path,
        {
            "case_id": [str(i) for i in range(7)],
            "note": ["Ataxia."] * 7,
            "label_id": [*spellings, "Marfan syndrome"],
        },
    )
    assert {case["label_id"] for case in cases(path)} == {"OMIM:154700"}


@pytest.mark.parametrize(
    ("columns", "label", "counts"),
    [
        ({"label_id": 154700}, "OMIM:154700", {}),
        ({"label_id": "ORPHA:558 ()"}, "ORPHA:558", {}),
        ({"label_id": "MINE:1"}, "MINE:1", {}),
        ({"label_id": "marfan syndrome"}, "OMIM:154700", {"grounded_labels": 1}),
        ({"label_name": "Marfan syndrome"}, "OMIM:154700", {"grounded_labels": 1}),
        ({"label_id": "MARFAN SYNDROME; MFS"}, "OMIM:154700", {"grounded_labels": 1}),
        (
            {"label_id": "Marfan syndrome; Duchenne muscular dystrophy"},
            "OMIM:154700",
            {"grounded_labels": 1, "several_diseases": 1},
        ),
        ({"label_id": "OMIM:154700;ORPHA:558"}, "OMIM:154700", {"several_diseases": 1}),
        ({"label_id": "FBN1"}, None, {"gene_as_disease": 1}),
        ({"label_id": "TSC1"}, None, {"gene_as_disease": 1}),
        ({"label_id": "HGNC:3603", "label_name": "FBN1"}, None, {"gene_as_disease": 1}),
        ({"label_id": "OMIM:605284", "label_name": "TSC1"}, None, {"gene_as_disease": 1}),
        ({"label_id": "an unknown illness"}, None, {"unreadable_label": 1}),
        ({"label_id": "not Marfan syndrome"}, None, {"unreadable_label": 1}),
        ({"label_id": "unknown"}, None, {}),
        ({"label_id": "", "label_name": None}, None, {}),
    ],
)
def test_labels(
    tmp_path: Path, columns: dict[str, Any], label: str | None, counts: dict[str, int]
) -> None:
    item = one(tmp_path, **columns)
    assert (item.case["label_id"], dict(item.counts)) == (label, counts)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"note": ["x"]}, "expected a column case_id.*found none among note"),
        ({"case_id": ["a"], "terms": [7]}, "column terms should be list"),
        ({"case_id": ["a"], "image": ["x.png"]}, "column image should be binary"),
    ],
)
def test_a_wrong_schema_names_the_column(
    tmp_path: Path, columns: dict[str, list[Any]], expected: str
) -> None:
    with pytest.raises(DataError, match=expected):
        read(write(tmp_path, columns))


def test_capitals_in_names_of_columns(tmp_path: Path) -> None:
    item = one(tmp_path, Sex="F", **{" AGE ": "9"})
    assert (item.case["sex"], item.case["age"]) == ("female", "P9Y")


def test_a_column_twice(tmp_path: Path) -> None:
    table = pa.table([["a"], ["x"], ["y"]], names=["case_id", "note", "note"])
    pq.write_table(table, tmp_path / "mine.parquet")
    with pytest.raises(DataError, match="found note more than once"):
        read(tmp_path / "mine.parquet")


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("x.parquet", b"case_id,note\n", "found a CSV table; name it .csv"),
        ("x.parquet", b"", "an empty file"),
        ("x.parquet", b"PAR1" + b"\x15" * 100, "a damaged one"),
        ("x.parquet", None, "nothing there"),
        ("x.csv", b'{"id": 1}', "found JSON; phenopackets are read with"),
        ("x.xlsx", b"PK\x03\x04xl/", "an Excel workbook"),
        ("x.csv", b"case_id,note\na,caf\xe9\n", "save it as UTF-8"),
        ("x.csv.gz", b"\x1f\x8b broken", "a damaged one"),
        ("x.csv", b'case_id,note\na,"open\n', "quotation marks"),
    ],
)
def test_a_file_that_is_no_table(
    tmp_path: Path, name: str, content: bytes | None, found: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=found) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_truncated_table(tmp_path: Path) -> None:
    path = write(tmp_path, {"case_id": ["a"], "note": ["Ataxia."]})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="expected a parquet table of cases, found a damaged one"):
        read(path)


ROWS = "case_id,terms,sex,age\na,HP:0001250;HP:0001252,F,9\nb,,,\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", ROWS.encode()),
        ("x.CSV", b"\xef\xbb\xbf" + ROWS.replace("\n", "\r\n").encode()),
        ("x.csv", ROWS.encode("utf-16")),
        ("x.tsv", ROWS.replace(",", "\t").encode()),
        ("x.txt", ROWS.replace(",", "\t").encode()),
        ("x.csv", ROWS.replace(";", "|").replace(",", ";").encode()),
        ("x.csv.gz", gzip.compress(ROWS.encode(), mtime=0)),
        ("x.csv", ROWS.replace("case_id", " Case_ID ").encode()),
    ],
)
def test_tables_of_text(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert is_table_file(tmp_path / name)
    (case,) = cases(tmp_path / name)
    assert case["terms"] == ["HP:0001250", "HP:0001252"]
    assert (case["sex"], case["age"]) == ("female", "P9Y")
    assert reasons(tmp_path / name) == [("b", "no_modality")]


def test_lines_of_a_table_of_text_with_other_fields_are_rejected(tmp_path: Path) -> None:
    text = 'case_id,note\na,"One line,\nand ""another""."\nb,c,d\nc,Ataxia\n'
    (tmp_path / "x.csv").write_text(text)
    assert [case["note"] for case in cases(tmp_path / "x.csv")] == [
        'One line,\nand "another".',
        "Ataxia",
    ]
    assert reasons(tmp_path / "x.csv") == [("", "wrong_fields")]


def test_other_files_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"id": 1}')
    assert not is_table_file(tmp_path / "x.json")
    assert not is_table_file(tmp_path)


def test_blank_publications_are_dropped(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {
            "case_id": ["a", "b"],
            "note": ["Ataxia.", "Ataxia."],
            "publications": [["", "PMID:1", None], [" ", "nan"]],
        },
    )
    assert [case["publications"] for case in cases(path)] == [["PMID:1"], []]


@pytest.mark.parametrize(
    ("cell", "publications", "unread"),
    [
        (["pmid 1", "https://doi.org/10.1000/X"], ["PMID:1", "DOI:10.1000/x"], 0),
        (["123", "0123"], ["PMID:123"], 0),
        ("1; PMID:2", ["PMID:1", "PMID:2"], 0),
        ("1,2", ["PMID:1", "PMID:2"], 0),
        (["Smith 2010"], ["Smith 2010"], 1),
    ],
)
def test_publications_have_one_spelling(
    tmp_path: Path, cell: Any, publications: list[str], unread: int
) -> None:
    item = one(tmp_path, publications=cell)
    assert item.case["publications"] == publications
    assert item.counts["unread_publications"] == unread


def test_a_word_for_no_group_joins_nothing(tmp_path: Path) -> None:
    columns = {"case_id": ["a", "b"], "note": ["Ataxia."] * 2, "group_id": ["nan", "unknown"]}
    assert [case["group_id"] for case in cases(write(tmp_path, columns))] == ["a", "b"]


def test_a_stated_group_survives_its_publications(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {
            "case_id": ["a", "b", "c"],
            "note": ["Ataxia."] * 3,
            "group_id": ["family", "family", None],
            "publications": [["PMID:1"], ["PMID:2"], ["pmid_2"]],
        },
    )
    assert {case["group_id"] for case in join_groups(cases(path))} == {"PMID:1"}


def test_columns_that_a_spreadsheet_adds_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("case_id,terms,,\na,HP:0001250,,\n")
    (case,) = cases(tmp_path / "a.csv")
    assert case["terms"] == ["HP:0001250"]


@pytest.mark.parametrize(
    ("cell", "publications", "unread"),
    [
        ("Smith et al., 2019", ["Smith et al., 2019"], 1),
        ("2019", ["2019"], 1),
        ("PMID: 30000000, 2019", ["PMID:30000000"], 0),
        ("30000000, 30000001", ["PMID:30000000", "PMID:30000001"], 0),
    ],
)
def test_years_are_no_publications(
    tmp_path: Path, cell: str, publications: list[str], unread: int
) -> None:
    item = one(tmp_path, publications=[cell])
    assert (item.case["publications"], item.counts["unread_publications"]) == (publications, unread)


@pytest.mark.parametrize(
    "cell",
    [
        "?OMIM:154700",
        "suspected OMIM:154700",
        "OMIM:154700 (possible)",
        "r/o OMIM:154700",
        "carrier of OMIM:219700",
        "Marfan syndrome?",
        "Marfan syndrome; excluded",
    ],
)
def test_a_suspected_disease_is_no_known_answer(tmp_path: Path, cell: str) -> None:
    item = one(tmp_path, label_id=cell)
    assert (item.case["label_id"], item.counts["unreadable_label"]) == (None, 1)
