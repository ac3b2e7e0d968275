"""Cases from tables of notes: columns, ids, labels, publications, rejections."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.patients.clinical_notes.columns import (
    age_of,
    disease_id,
    publication_ids,
    sex_of,
)
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
    assert counts["without_publication"] == 2  # "PMID 7" is too short for one


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PMID:31675180", ["PMID:31675180"]),
        ("pmid 031675180", ["PMID:31675180"]),
        ("PMID36829172", ["PMID:36829172"]),
        ("PMID__33890291_Proband_1", ["PMID:33890291"]),
        ("http://www.ncbi.nlm.nih.gov/pubmed/31675180", ["PMID:31675180"]),
        ("https://doi.org/10.1016/J.AJHG.2020.01.001.", ["DOI:10.1016/j.ajhg.2020.01.001"]),
        ("see PMC1234567", ["PMC1234567"]),
        ("31675180", ["PMID:31675180"]),
        ("ward 7", []),
        ("", []),
    ],
)
def test_publication_ids(text: str, expected: list[str]) -> None:
    assert publication_ids(text, bare_numbers=True) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("OMIM: 154700", "OMIM:154700"),
        ("omim_154700", "OMIM:154700"),
        ("MIM #154700", "OMIM:154700"),
        ("#154700", "OMIM:154700"),
        ("154700", "OMIM:154700"),
        ("Orphanet:558", "ORPHA:558"),
        ("ORPHA:558 ()", "ORPHA:558"),
        ("https://omim.org/entry/154700", None),
        ("MONDO:0007947", "MONDO:0007947"),
        ("HGNC:34", None),
        ("Joubert syndrome 30", None),
        ("", None),
    ],
)
def test_disease_ids(text: str, expected: str | None) -> None:
    assert disease_id(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4", "P4Y"), ("18 months", "P18M"), ("p4y3m", "P4Y3M"), ("4-year-old", "P4Y"), ("old", None)],
)
def test_ages(text: str, expected: str | None) -> None:
    assert age_of(text) == expected


def test_sexes() -> None:
    assert [sex_of(t) for t in ("F", "Male", "", "?")] == ["female", "male", "unknown", None]


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
