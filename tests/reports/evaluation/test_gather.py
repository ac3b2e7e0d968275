"""What a report shows, gathered from the records of a comparison, without Ray or a store."""

import pyarrow as pa
import pytest

from mint_ray.config.config import Config
from mint_ray.evaluation.answers import Answers, SystemAnswers
from mint_ray.evaluation.measurement import Measurement
from mint_ray.evaluation.metrics.compute import COMPARED, evaluate
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes
from mint_ray.evaluation.systems import SystemRun
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.reports.evaluation.gather import Provenance, choose_tiles, gather_report
from mint_ray.reports.evaluation.report import LineageStep, ReportContext, render_report
from tests.evaluation.conftest import NAMES
from tests.evaluation.few_answers import LABELS, draw
from tests.evaluation.few_answers import NAMES as TISSUES

CATALOGUE = Catalogue(Label(i, names[0], (i,), names[1:], ()) for i, names in NAMES.items())
PROVENANCE = Provenance(
    created="2025-01-01 12:00 UTC",
    lineage=[LineageStep("cases", "0a1b", [])],
    rejected={"no_note": 2},
    versions={"ray": "2.0"},
    training=[{"step": 1, "epoch": 1.0, "loss": 1.0}],
    teacher_revision="t1",
    commit="abc123",
)


def config_of(task: str = "disease") -> Config:
    source = {"task": "tissue", "cases": {"source": "tiles"}} if task == "tissue" else {}
    return Config.model_validate({**source, "evaluation": {"bootstrap_samples": 100}})


@pytest.fixture
def answers(predictions: pa.Table) -> Answers:
    names = predictions["system"].to_pylist()
    systems = {
        name: SystemAnswers(
            {SystemRun(name): predictions.filter(pa.array([n == name for n in names]))},
            rejected=[{"case_id": "c", "reason": "image_blank", "source": "evaluate"}],
            shortened=3,
        )
        for name in ("orpo", "teacher")
    }
    return Answers(systems, "orpo")


@pytest.fixture
def measurement(cases: EvaluatedCases, outcomes: dict[str, Outcomes]) -> Measurement:
    metrics = evaluate(outcomes, cases, bins=10, samples=100, seed=0)
    return Measurement(cases, outcomes, metrics)


@pytest.fixture
def report(case_table: pa.Table, answers: Answers, measurement: Measurement) -> ReportContext:
    return gather_report(config_of(), case_table, CATALOGUE, answers, measurement, PROVENANCE)


def test_the_data_card_counts_cases_and_rejections(report: ReportContext) -> None:
    assert report.splits["test"] == {"cases": 4, "groups": 3, "labels": 4}
    assert report.splits["train"] == {"cases": 0, "groups": 0, "labels": 0}
    assert report.rejected == {"no_note": 2, "image_blank (tested, a miss)": 1}
    assert report.notes_shortened == 3
    assert report.groups == 3
    assert report.data_facts["Catalogue"].startswith("3 labels")


def test_the_page_names_split_seed_and_limit(report: ReportContext) -> None:
    origin = "test split, seed 0, at most 10 cases per group"
    assert report.tested == origin
    assert f"<li>{origin}</li>" in render_report(report)


def test_the_student_is_set_beside_the_systems_that_were_compared(report: ReportContext) -> None:
    assert {(d.first, d.second) for d in report.differences} == {("orpo", "teacher")}
    assert {d.metric for d in report.differences} == set(COMPARED)
    assert report.classes is None
    assert report.tiles_page is None


def test_the_page_shows_where_its_figures_come_from(report: ReportContext) -> None:
    html = render_report(report)
    for shown in ("2025-01-01 12:00 UTC", "0a1b", "abc123", "no_note", "Alpha syndrome"):
        assert shown in html


def test_few_answers_are_shown_one_by_one() -> None:
    cases, outcome, _, _ = draw()
    outcomes = {"orpo": outcome, "orpo_shuffled": outcome}
    metrics = evaluate(outcomes, cases, bins=10, samples=100, seed=0, by_class=True)
    catalogue = Catalogue(
        Label(i, name, (i,), (), ()) for i, name in zip(LABELS, TISSUES, strict=True)
    )
    tested = pa.table({n: pa.array([], pa.string()) for n in ("split", "group_id", "label_id")})
    report = gather_report(
        config_of("tissue"),
        tested,
        catalogue,
        Answers({}, "orpo"),
        Measurement(cases, outcomes, metrics),
        PROVENANCE,
    )
    assert report.classes is not None
    assert [row.name for row in report.classes.rows] == list(TISSUES)
    assert report.classes.chance.keys() == {"orpo_shuffled"}
    assert report.tiles_page == "tiles.html"


def test_tiles_are_those_of_tested_cases(answers: Answers, measurement: Measurement) -> None:
    examples = choose_tiles(answers, measurement, CATALOGUE, seed=0)
    assert sorted(example.case_id for example in examples) == ["a", "b", "c", "d"]
    answered = {example.case_id: example.answers["orpo"] for example in examples}
    assert [answer.rank for answer in answered["b"]] == [1, 2, 3]
    assert answered["c"] == ()


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://ward:canary@db/mlflow",
        "https://canary@mlflow.example",
        "mssql://db/mlflow?driver=x&PWD=canary&trust=yes",
    ],
)
def test_the_password_of_the_tracking_store_is_not_in_the_report(
    uri: str, case_table: pa.Table, answers: Answers, measurement: Measurement
) -> None:
    config = Config.model_validate({"tracking": {"uri": uri}})
    report = gather_report(config, case_table, CATALOGUE, answers, measurement, PROVENANCE)
    page = render_report(report)
    assert "canary" not in page
    assert "***" in page
    assert "experiment: mint_ray" in page
