"""Cases from tables of notes: columns, ids, labels, publications, rejections."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.patients.clinical_notes.read import read_notes
from mint_ray.cases.schema import Case, ParsedCase, RejectedCase
from mint_ray.cases.splits import join_groups
from mint_ray.config.cases import NoteColumnsConfig
from mint_ray.errors import DataError
from mint_ray.knowledge.annotations import Annotations, load_annotations
from tests.conftest import SHARED_DATA

DISEASES = {
    "OMIM:900001": "Amber-Bole syndrome",
    "OMIM:900003": "Twin disorder",
    "OMIM:900004": "Twin disorder",
    "ORPHA:91": "Amber-Bole syndrome",
    "ORPHA:93": "Lonely disease",
}
ANNOTATIONS = Annotations({}, DISEASES, {"OMIM:900001": ("Amber disease",)}, {})


def read(
    folder: Path, columns: dict[str, list[object]], **settings: object
) -> tuple[list[Case], list[RejectedCase], Counter[str]]:
    path = folder / "mine.parquet"
    pq.write_table(pa.table(columns), path)
    chosen = NoteColumnsConfig(**settings)  # type: ignore[arg-type]
    items = list(read_notes(path, chosen, ANNOTATIONS, "OMIM"))
    parsed = [item for item in items if isinstance(item, ParsedCase)]
    rejected = [item for item in items if isinstance(item, RejectedCase)]
    return [p.case for p in parsed], rejected, sum((p.counts for p in parsed), Counter())


def test_usual_columns_are_found_and_the_note_is_kept_as_it_is(tmp_path: Path) -> None:
    note = "  Short stature.\n\nNo seizures. "
    columns: dict[str, list[object]] = {
        "note_id": ["n1"],
        "Clinical Note": [note],
        "omim_id": ["OMIM:900001"],
        "disease": ["Amber-Bole syndrome"],
        "gene": ["GENA"],
        "pmid": [31675180],
        "gender": ["F"],
        "age": [4.5],
    }
    [case], rejected, counts = read(tmp_path, columns)
    assert (case["case_id"], case["note"], case["source"]) == ("n1", note, "notes")
    assert (case["label_id"], case["label_name"]) == ("OMIM:900001", "Amber-Bole syndrome")
    assert case["publications"] == ["PMID:31675180"]
    assert (case["sex"], case["age"], case["terms"]) == ("female", "P4Y6M", [])
    assert (rejected, counts) == ([], Counter())


def test_configured_columns_outrank_usual_names(tmp_path: Path) -> None:
    columns: dict[str, list[object]] = {"text": ["Wrong."], "brief": ["Ataxia."], "id": ["n1"]}
    [case], _, _ = read(tmp_path, columns, note="brief", id=None)
    assert (case["note"], case["case_id"]) == ("Ataxia.", "mine-000000")


@pytest.mark.parametrize(
    ("columns", "settings", "said"),
    [
        ({"a": ["x"], "b": ["y"]}, {}, "expected a column of notes .* found a, b; set"),
        ({"text": ["x"]}, {"gene": "symbol"}, "expected a column symbol .* found text; set"),
    ],
)
def test_a_missing_column_names_those_that_were_found(
    tmp_path: Path, columns: dict[str, list[object]], settings: dict[str, object], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        read(tmp_path, columns, **settings)


def test_notes_without_a_word_are_refused(tmp_path: Path) -> None:
    notes: list[object] = ["", " \n", "---", None, "n/a", "<br/>", "[REDACTED]", "7", "Ataxia."]
    cases, rejected, _ = read(tmp_path, {"text": notes})
    assert [case["case_id"] for case in cases] == ["mine-000008"]
    assert [item.reason for item in rejected] == ["no_modality"] * 8
    assert rejected[1].case_id == "mine-000001"


def test_ids_that_repeat_are_numbered_and_stay_together(tmp_path: Path) -> None:
    columns: dict[str, list[object]] = {
        "id": ["p", "p", "p", None, "q"],
        "text": ["Ataxia.", "Ptosis.", "Ataxia.", "Ataxia.", "Ataxia."],
    }
    cases, rejected, counts = read(tmp_path, columns)
    assert [case["case_id"] for case in cases] == ["p", "p#2", "mine-000003", "q"]
    assert [case["group_id"] for case in cases] == ["p", "p", "mine-000003", "q"]
    assert [(item.case_id, item.reason) for item in rejected] == [("p", "duplicate_id")]
    assert (counts["repeated_ids"], counts["rows_without_id"]) == (1, 1)


def test_labels_are_ids_or_the_name_of_one_disease(tmp_path: Path) -> None:
    labels: list[object] = ["amber-bole SYNDROME", "Amber disease", "OMIM: 900003", "Twin disorder"]
    labels += ["Lonely disease", "nobody knows", None]
    columns = {"text": [f"Ataxia {n}." for n in range(len(labels))], "label": labels}
    cases, _, counts = read(tmp_path, columns)  # type: ignore[arg-type]
    expected = ["OMIM:900001", "OMIM:900001", "OMIM:900003", None, "ORPHA:93", None, None]
    assert [case["label_id"] for case in cases] == expected
    assert (counts["without_label"], counts["unread_labels"]) == (3, 2)


def test_publications_join_notes_in_any_spelling(tmp_path: Path) -> None:
    columns: dict[str, list[object]] = {
        "id": ["PMID_31675180_Family_1", "b", "c", "d"],
        "text": ["Ataxia.", "Ptosis.", "Tremor.", "Chorea."],
        "reference": [None, "https://pubmed.ncbi.nlm.nih.gov/31675180/", "PMID 7; doi:10.1/A", "-"],
    }
    cases, _, counts = read(tmp_path, columns)
    grouped = join_groups(cases)
    assert [case["group_id"] for case in grouped][:2] == ["PMID:31675180"] * 2
    assert cases[3]["publications"] == []
    assert counts["without_publication"] == 1


def test_values_are_read_as_in_case_tables(tmp_path: Path) -> None:
    columns = {
        "note": ["Seizures.", "Ataxia.", "Ptosis.", "Short stature."],
        "omim_id": ["omim_154700", "#154700", "OMIM:154700, OMIM:154705", "HGNC:34"],
        "pmid": ["31675180.0", "see PMC1234567", "31675180/36829172", "Invented et al."],
        "age": ["4.5", "18 months", "4-year-old", "old"],
        "sex": ["F", "Male", "", "purple"],
    }
    cases, _, counts = read(tmp_path, columns)
    assert [case["label_id"] for case in cases] == ["OMIM:154700"] * 3 + [None]
    assert [case["age"] for case in cases] == ["P4Y6M", "P1Y6M", "P4Y", None]
    assert [case["sex"] for case in cases] == ["female", "male", "unknown", "unknown"]
    published = [case["publications"] for case in cases]
    assert published[:3] == [["PMID:31675180"], ["PMC1234567"], ["PMID:31675180", "PMID:36829172"]]
    assert published[3] == ["Invented et al."]  # groups cases, excludes nothing
    assert counts["unread_publications"] == counts["unmapped_age"] == counts["unmapped_sex"] == 1
    assert counts["unread_labels"] == counts["several_diseases"] == 1


@pytest.mark.parametrize(
    ("name", "cases", "labelled", "most_groups"),
    [("clinical_notes", 656, 656, 430), ("literature_narratives", 185, 0, 107)],
)
def test_published_tables_are_read_by_their_usual_columns(
    name: str, cases: int, labelled: int, most_groups: int
) -> None:
    file = SHARED_DATA / f"{name}.parquet"
    if not file.exists():
        pytest.skip(f"needs {file.name} in shared/data")
    items = list(read_notes(file, NoteColumnsConfig(), load_annotations(), "OMIM"))
    parsed = [item.case for item in items if isinstance(item, ParsedCase)]
    assert len(items) == len(parsed) == len({case["case_id"] for case in parsed}) == cases
    assert sum(case["label_id"] is not None for case in parsed) == labelled
    assert sum(not case["publications"] for case in parsed) == 2
    assert len({case["group_id"] for case in join_groups(parsed)}) <= most_groups


def test_genes_and_stated_answers_are_kept_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    columns = {"note": ["Ataxia."], "gene": ["CDK 10; GENB"], "label_id": ["F1"], "label": ["Worn"]}
    pq.write_table(pa.table(columns), path)
    (item,) = read_notes(path, NoteColumnsConfig(), ANNOTATIONS, "OMIM")
    assert isinstance(item, ParsedCase)
    assert item.stated == ("F1", "Worn")
    assert {"CDK 10", "GENB"} <= set(item.genes)


@pytest.mark.parametrize(
    ("column", "value", "age"),
    [
        ("age_months", "18", "P1Y6M"),
        ("Age (months)", "18", "P1Y6M"),
        ("Age [days]", "21", "P21D"),
        ("Age (years)", "9", "P9Y"),
        ("age_months", "9 years", "P9Y"),
    ],
)
def test_a_column_of_ages_has_its_unit(tmp_path: Path, column: str, value: str, age: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"id,Free text,{column}\n1,Ataxia.,{value}\n")
    (item,) = read_notes(path, NoteColumnsConfig(), ANNOTATIONS, "OMIM")
    assert isinstance(item, ParsedCase)
    assert (item.case["note"], item.case["age"]) == ("Ataxia.", age)


@pytest.mark.parametrize(
    ("label", "label_id", "several"),
    [
        ("AMBER-BOLE SYNDROME; ABS", "OMIM:900001", 0),
        ("Amber-Bole syndrome; Amber disease", "OMIM:900001", 0),
        ("Twin disorder; ABS", None, 0),
    ],
)
def test_a_title_of_omim_is_a_label(
    tmp_path: Path, label: str, label_id: str | None, several: int
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"id,note,diagnosis\n1,Ataxia.,{label}\n")
    (item,) = read_notes(path, NoteColumnsConfig(), ANNOTATIONS, "OMIM")
    assert isinstance(item, ParsedCase)
    assert (item.case["label_id"], item.counts["several_diseases"]) == (label_id, several)


def test_a_line_with_other_fields_is_a_rejection(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,note\n1,Ataxia, mild.\n2,Ptosis.\n")
    first, second = read_notes(path, NoteColumnsConfig(), ANNOTATIONS, "OMIM")
    assert isinstance(first, RejectedCase)
    assert first.reason == "wrong_fields"
    assert isinstance(second, ParsedCase)


def test_words_for_no_value_are_no_groups_ids_or_ages(tmp_path: Path) -> None:
    columns: dict[str, list[object]] = {
        "id": ["NA", "n2"],
        "text": ["Ataxia.", "Seizures."],
        "group_id": ["NA", "unknown"],
        "age": ["18", "NA"],
        "age_unit": ["months", "months"],
    }
    cases, rejected, counts = read(tmp_path, columns)
    ids = [(case["case_id"], case["group_id"]) for case in cases]
    assert ids == [("mine-000000", "mine-000000"), ("n2", "n2")]
    assert [case["age"] for case in cases] == ["P1Y6M", None]
    assert not rejected
    assert counts["rows_without_id"] == 1


@pytest.mark.parametrize("name", ["Amber disease?", "Suspected; Amber disease"])
def test_a_suspected_disease_is_no_answer(tmp_path: Path, name: str) -> None:
    columns: dict[str, list[object]] = {"text": ["Ataxia."], "disease": [name]}
    [case], _, counts = read(tmp_path, columns)
    assert (case["label_id"], counts["unread_labels"]) == (None, 1)
