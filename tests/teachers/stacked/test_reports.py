"""The teacher `stacked` reads laboratory reports, in the fit, in scores and after loading."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import CASE_SCHEMA
from mint_ray.config.cases import CasesConfig
from mint_ray.config.config import Config
from mint_ray.config.teacher import TeacherConfig
from mint_ray.knowledge.annotations import Annotations, Row
from mint_ray.knowledge.catalogue import Catalogue, build_catalogue
from mint_ray.knowledge.notes.findings import load_reader, present_and_excluded
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.base import Teacher, load_manifest, load_teacher
from mint_ray.teachers.knowledge.match import KnowledgeMatch
from mint_ray.teachers.note_look_ups import NoteLookUps, fit_look_up
from mint_ray.teachers.report_findings import ReportFindings
from mint_ray.teachers.stacked import fit
from tests.teachers.conftest import COMMON, SETTINGS, columns, simulated_table, top1

SEIZURE, ANEMIA, NEUTROPENIA = "HP:0001250", "HP:0001903", "HP:0001875"
FINDINGS = (
    ("HP:0001987", "HP:0001943"),  # hyperammonemia, hypoglycemia
    ("HP:0004315", "HP:0001875"),  # low IgG, neutropenia
    ("HP:0001903", "HP:0001873"),  # anemia, thrombocytopenia
    ("HP:0002151", "HP:0001942"),  # increased lactate, metabolic acidosis
    ("HP:0000822", "HP:0000107"),
    ("HP:0000365", "HP:0000518"),
)
LABORATORY = 4
"""Number of diseases that are told by findings of the laboratory alone; the first ones."""


class Pair(NamedTuple):
    """A teacher that reads reports, the control that does not, and their cases."""

    reading: Teacher
    control: Teacher
    folder: Path
    cases: pa.Table
    catalogue: Catalogue

    def rows(self, split: str) -> list[dict[str, Any]]:
        return [row for row in self.cases.to_pylist() if row["split"] == split]


def fit_to(
    cases: pa.Table, catalogue: Catalogue, annotations: Annotations, out: Path, reports: bool
) -> Teacher:
    ontology = load_ontology()
    knowledge = KnowledgeMatch.of_annotations(catalogue, annotations, ontology)
    settings = SETTINGS.model_copy(update={"reports": reports})
    fit.fit_cases(cases, catalogue, ontology, knowledge, settings, 0, out, lambda metrics: None)
    return load_teacher(out)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Fitted once for all tests."""
    rows = {
        f"OMIM:90000{i}": [
            Row(term, 9, 10, float("nan"), False, None, "PMID:1") for term in (*terms, COMMON)
        ]
        for i, terms in enumerate(FINDINGS)
    }
    annotations = Annotations(rows, {key: f"Invented disease {key[-1]}" for key in rows}, {}, {})
    reported = CasesConfig(modalities="laboratory_in_report")
    cases = simulated_table(annotations, 20, seed=1, settings=reported)
    catalogue = build_catalogue(annotations, {}, "OMIM", "all")
    folder = tmp_path_factory.mktemp("stacked")
    reading, control = (
        fit_to(cases, catalogue, annotations, folder / name, name == "reading")
        for name in ("reading", "control")
    )
    return Pair(reading, control, folder, cases, catalogue)


def test_a_report_tells_what_the_terms_do_not(pair: Pair) -> None:
    told = {f"OMIM:90000{i}" for i in range(LABORATORY)}
    by_report = [row for row in pair.rows("test") if row["label_id"] in told and row["description"]]
    assert len(by_report) > 15
    assert top1(pair.reading, by_report) > 0.8
    assert top1(pair.control, by_report) < 0.6


def test_scores_differ_exactly_where_there_is_a_report(pair: Pair) -> None:
    rows = [{**row, "terms": [*row["terms"], SEIZURE]} for row in pair.rows("test")]
    blank = [{**row, "description": ""} for row in rows]
    has_report = np.array([bool(row["description"]) for row in rows])
    assert 0 < has_report.sum() < len(rows)
    changed = (pair.reading.score(columns(rows)) != pair.reading.score(columns(blank))).any(axis=1)
    assert np.array_equal(changed, has_report)
    assert np.array_equal(pair.control.score(columns(rows)), pair.control.score(columns(blank)))


def test_a_finding_that_is_read_counts_like_a_term(pair: Pair) -> None:
    reader, rows = load_reader(load_ontology()), pair.rows("test")
    given = []
    for row in rows:
        present, excluded = present_and_excluded(reader.read(row["description"]))
        more = {"terms": [*row["terms"], *present], "description": ""}
        given.append({**row, **more, "excluded_terms": [*row["excluded_terms"], *excluded]})
    expected = pair.reading.score(columns(given))
    assert np.array_equal(pair.reading.score(columns(rows)), expected, equal_nan=True)


def test_a_case_with_nothing_but_its_report_can_be_judged(pair: Pair) -> None:
    row = next(row for row in pair.rows("test") if "Findings" in row["description"])
    alone = columns([{**row, "terms": [], "excluded_terms": []}])
    assert np.isfinite(pair.reading.score(alone)).all()
    assert pair.reading.unusable_reasons(alone) == [""]
    assert np.isnan(pair.control.score(alone)).all()
    assert pair.control.unusable_reasons(alone) == ["no_known_term"]


def test_the_folder_says_whether_reports_are_read(pair: Pair) -> None:
    contents = [load_manifest(pair.folder / name)["content"] for name in ("reading", "control")]
    assert contents[0].keys() - contents[1].keys() == {"reports"}
    assert contents[0]["reports"] is True
    # A folder that was written before there were reports has no such entry, like the control.
    assert contents[1].keys() == {"ontology", "terms", "format", "gate", "temperatures", "findings"}


def test_without_a_report_among_the_training_cases_none_is_read(pair: Pair, tmp_path: Path) -> None:
    blank = [{**row, "description": ""} for row in pair.cases.to_pylist()]
    table = pa.Table.from_pylist(blank, CASE_SCHEMA)
    teacher = fit_to(table, pair.catalogue, Annotations({}, {}, {}, {}), tmp_path, reports=True)
    rows = pair.rows("test")
    unread = [{**row, "description": ""} for row in rows]
    scores = [teacher.score(columns(some)) for some in (rows, unread)]
    assert np.array_equal(*scores, equal_nan=True)


@pytest.mark.parametrize(
    ("modalities", "reports", "reads"),
    [
        ("laboratory_in_report", True, True),
        ("laboratory_in_report", False, False),
        ("both", True, False),  # a description may be of an image
        ("text_only", True, False),
    ],
)
def test_descriptions_are_read_where_they_are_reports(
    modalities: str,
    reports: bool,
    reads: bool,
    pair: Pair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pq.write_table(pair.cases, tmp_path / "cases.parquet")
    pair.catalogue.write(tmp_path / "catalogue.parquet")
    (tmp_path / "excluded_publications.txt").write_text("", encoding="utf-8")
    asked: list[TeacherConfig] = []

    def fit_cases(cases: pa.Table, *arguments: Any) -> dict[str, float]:
        assert any(cases["description"].to_pylist())
        asked.append(next(a for a in arguments if isinstance(a, TeacherConfig)))
        return {}

    monkeypatch.setattr(fit, "fit_cases", fit_cases)
    tree = {"cases": {"modalities": modalities}, "teacher": {"name": "stacked", "reports": reports}}
    fit.fit_stacked(tmp_path, Config.model_validate(tree), tmp_path / "out", lambda report: None)
    assert [settings.reports for settings in asked] == [reads]


def test_a_look_up_reads_no_report(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pair.cases, tmp_path / "cases.parquet")
    asked: list[Config] = []
    monkeypatch.setattr(fit, "fit_stacked", lambda cases, config, *others: asked.append(config))
    run = Config.model_validate({"cases": {"modalities": "laboratory_in_report"}})
    fit_look_up("stacked", run, tmp_path, tmp_path / "look_ups")
    assert [config.teacher.reports for config in asked] == [False]


@pytest.mark.parametrize("name", ["reading", "control"])
def test_a_teacher_judges_the_findings_of_notes_alone(pair: Pair, name: str) -> None:
    look_ups = NoteLookUps({"stacked": pair.folder / name}, pair.catalogue)
    scores = look_ups.score([([COMMON], []), ([], [])])["stacked"]
    assert np.isfinite(scores[0]).all()
    assert np.isnan(scores[1]).all()


def test_findings_of_a_report_join_the_terms_once() -> None:
    batch = {
        "terms": [[SEIZURE, ANEMIA], None, [SEIZURE], [SEIZURE]],
        "excluded_terms": [[], [ANEMIA], [], None],
        "description": [
            "Findings: Anemia; Hypoglycemia.\nNot found: Seizure; Neutropenia.",
            "Findings: Anemia.\nNot found: Anemia; Neutropenia.",
            "",
            None,
        ],
        "sex": ["female"] * 4,
    }
    read = ReportFindings(load_reader(load_ontology())).add_to(batch)
    assert read["terms"] == [[SEIZURE, ANEMIA, "HP:0001943"], [], [SEIZURE], [SEIZURE]]
    assert read["excluded_terms"] == [[NEUTROPENIA], [ANEMIA, NEUTROPENIA], [], []]
    assert batch["terms"][0] == [SEIZURE, ANEMIA]
    assert ReportFindings(None).add_to(batch) is batch
