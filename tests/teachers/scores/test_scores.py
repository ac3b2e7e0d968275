"""The teacher `scores`: tables of other programs, and what of them is used."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.common.partial_answers import is_answered
from mint_ray.config.config import Config
from mint_ray.errors import DataError, TeacherError
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.teachers.base import floor_of, load_teacher
from mint_ray.teachers.scores.fit import NO_SCORES, fit_scores
from tests.teachers.conftest import columns

CATALOGUE = Catalogue(
    Label(f"OMIM:90000{i}", f"Invented disease {i}", ids, (f"ID{i}",), ())
    for i in range(9)
    for ids in [(f"OMIM:90000{i}", *(["ORPHA:77"] if i == 4 else []))]
)
CASES = [
    {
        **blank_case(f"PMID:{n}/patient {n}", "invented"),
        "split": ("train", "validation", "test")[n % 3],
        "label_id": f"OMIM:90000{n % 9}",
    }
    for n in range(18)
]
ROWS = [
    {"case_id": case["case_id"], "label_id": f"OMIM:90000{(n + step) % 9}", "score": 0.9 - step / 4}
    for n, case in enumerate(CASES)
    for step in range(3)
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The output of `cases`."""
    folder = tmp_path / "cases"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(CASES, CASE_SCHEMA), folder / "cases.parquet")
    CATALOGUE.write(folder / "catalogue.parquet")
    return folder


def fit(source: Path, table: Path, **settings: Any) -> tuple[dict[str, float], Path]:
    teacher = {"name": "scores", "scores": {"path": str(table), **settings}}
    out = source.parent / "teacher"
    reports: list[dict[str, float]] = []
    metrics = fit_scores(source, Config.model_validate({"teacher": teacher}), out, reports.append)
    assert [report["step"] for report in reports] == [1]
    return metrics, out


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    pa.csv.write_csv(pa.Table.from_pylist(rows), path)
    return path


def ranking(folder: Path, case_id: str) -> list[str]:
    """Return the answered labels of a case, best first."""
    teacher = load_teacher(folder)
    [row] = teacher.score(columns([{**CASES[0], "case_id": case_id}]))
    order = np.argsort(-row, kind="stable")
    return [teacher.labels[i] for i in order if is_answered(row, floor_of(teacher))[i]]


def test_a_parquet_table_becomes_a_teacher(source: Path, tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "scores.parquet")
    metrics, out = fit(source, tmp_path / "scores.parquet")
    assert metrics["validation.top1"] == 1.0
    assert metrics["rows"] == len(ROWS)
    assert metrics["cases_without_scores"] == 0
    assert ranking(out, CASES[5]["case_id"]) == ["OMIM:900005", "OMIM:900006", "OMIM:900007"]
    assert load_teacher(out).revision.startswith("scores@")


def test_ids_in_any_spelling_merged_ids_and_names_are_labels(source: Path, tmp_path: Path) -> None:
    case_id = CASES[0]["case_id"]
    labels = [
        ("omim_900003", ""),
        ("Orphanet_77", ""),
        ("", "ID2"),
        ("MONDO:1", "Invented disease 7"),
    ]
    rows = [
        {"Patient": case_id, "Disease": label, "Name": name, "P value": f"{place / 1000}"}
        for place, (label, name) in enumerate(labels, 1)
    ]
    rows += [{"Patient": case_id, "Disease": "ORPHA:999", "Name": "Unheard of", "P value": "0.9"}]
    rows += [{"Patient": case_id, "Disease": "OMIM:900008", "Name": "", "P value": "n/a"}]
    rows += [{"Patient": "another", "Disease": "OMIM:900008", "Name": "", "P value": "0.1"}]
    metrics, out = fit(
        source,
        write_csv(tmp_path / "lirical.csv", rows),
        case_column="Patient",
        label_column="Disease",
        name_column="Name",
        score_column="P value",
        better="lower",
    )
    assert ranking(out, case_id) == ["OMIM:900003", "OMIM:900004", "OMIM:900002", "OMIM:900007"]
    expected = {
        "rows": 4,
        "unknown_labels": 1,
        "rows_of_unknown_labels": 1,
        "rows_without_number": 1,
        "unknown_cases": 1,
        "cases_without_scores": 17,
    }
    assert {name: metrics[name] for name in expected} == expected


def test_a_case_without_rows_has_a_reason_and_spares_the_others(
    source: Path, tmp_path: Path
) -> None:
    absent = CASES[1]["case_id"]
    rows = [row for row in ROWS if row["case_id"] != absent]
    metrics, out = fit(source, write_csv(tmp_path / "scores.csv", rows))
    assert metrics["cases_without_scores"] == 1
    assert metrics["validation.top1"] == pytest.approx(5 / 6)
    teacher, batch = load_teacher(out), columns(CASES[:3])
    assert np.isnan(teacher.score(batch)).all(axis=1).tolist() == [False, True, False]
    assert teacher.unusable_reasons(batch) == ["", NO_SCORES, ""]
    assert teacher.score(columns([])).shape == (0, len(CATALOGUE))


@pytest.mark.parametrize("ending", ["disease_result.parquet", "pheval_disease_result.tsv"])
def test_a_pheval_folder_is_read_without_the_answers_that_pheval_adds(
    source: Path, tmp_path: Path, ending: str
) -> None:
    folder = tmp_path / "results" / "pheval_disease_results"
    folder.mkdir(parents=True)
    for n, case in enumerate(CASES):
        rows = [
            {"rank": 1, "score": 0.7, "disease_identifier": f"OMIM:90000{(n + 1) % 9}"},
            {"rank": 2, "score": 0.2, "disease_identifier": f"OMIM:90000{(n + 2) % 9}"},
            {"rank": 0, "score": 0.0, "disease_identifier": case["label_id"]},
        ]
        file = folder / f"PMID_{n}_patient_{n}-{ending}"
        table = pa.Table.from_pylist(rows)
        if ending.endswith("parquet"):
            pq.write_table(table, file)
        else:
            pa.csv.write_csv(table, file, pa.csv.WriteOptions(delimiter="\t"))
    metrics, out = fit(source, tmp_path / "results")
    assert metrics["answers_added_by_pheval"] == len(CASES)
    assert metrics["cases_without_scores"] == 0
    assert metrics["validation.top10"] == 0.0
    assert ranking(out, CASES[4]["case_id"]) == ["OMIM:900005", "OMIM:900006"]


def test_a_table_that_cannot_be_used_says_why(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing there"):
        fit(source, tmp_path / "absent.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="pheval_disease_results"):
        fit(source, tmp_path / "empty")
    with pytest.raises(DataError, match=r"columns confidence, .*name them in teacher\.scores"):
        fit(source, write_csv(tmp_path / "scores.csv", ROWS), score_column="confidence")
    others = [{**row, "case_id": f"other-{row['case_id']}"} for row in ROWS]
    with pytest.raises(TeacherError, match=r"found none in 54 rows \(18 unknown case ids, 0 unk"):
        fit(source, write_csv(tmp_path / "others.csv", others))


def test_the_table_is_asked_for_before_any_work() -> None:
    with pytest.raises(ValueError, match=r"teacher\.scores\.path"):
        Config.model_validate({"teacher": {"name": "scores"}})
