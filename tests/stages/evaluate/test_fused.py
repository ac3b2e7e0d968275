"""The system `fused` with a real look-up, and invented scores in place of a student's."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.config.config import Config
from mint_ray.evaluation.fused.pool import read_pool
from mint_ray.evaluation.systems import SystemRun
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.stages.evaluate.fused import fused_job, rank_by_fused
from mint_ray.stages.evaluate.rank import Comparison, student_job
from mint_ray.stages.workers.rankers import RANKED_SCHEMA

# Marfan syndrome, Huntington disease, cystic fibrosis: annotated; and one with a name only.
IDS = ("OMIM:154700", "OMIM:143100", "OMIM:219700", "OMIM:999999")
MARFAN = "Arachnodactyly. Ectopia lentis. Aortic root aneurysm."
TERMS = {IDS[0]: ["HP:0001166", "HP:0001083", "HP:0002616"], IDS[1]: ["HP:0002072", "HP:0000726"]}
NOTES = {
    **{f"validation-{number}": (MARFAN, IDS[0]) for number in range(6)},
    **{f"validation-{number}": ("Chorea. Dementia.", IDS[1]) for number in range(6, 12)},
    "validation-12": ("A person.", IDS[2]),
    "test-1": (MARFAN, IDS[0]),
    "test-2": ("A person.", IDS[0]),
}


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    rows = [
        blank_case(case_id, "table")
        | {
            "split": case_id.partition("-")[0],
            "label_id": label,
            "note": note,
            "terms": TERMS.get(label, []),
        }
        for case_id, (note, label) in NOTES.items()
    ]
    cases = tmp_path / "cases"
    cases.mkdir()
    table = pa.Table.from_pylist(rows, CASE_SCHEMA)
    pq.write_table(table, cases / "cases.parquet")
    (cases / "excluded_publications.txt").write_text("")
    catalogue = Catalogue(Label(i, f"disease {i}", (i,), (), ()) for i in IDS)
    catalogue.write(cases / "catalogue.parquet")
    (tmp_path / "out").mkdir()
    return Comparison(
        Config.model_validate({"evaluation": {"systems": ["fused"], "top_k": 2}}),
        {"cases": cases, "train": tmp_path / "student"},
        tmp_path / "out",
        table,
        table.filter(pc.equal(table["split"], "test")),
        catalogue,
        "orpo",
    )


def scored(*case_ids: str) -> pa.Table:
    """Score two names, Huntington disease behind the last: the catalogue is sorted by id."""
    rows = []
    for case_id in case_ids:
        rank = {IDS[0]: 4, IDS[1]: 2, IDS[2]: 4}[NOTES[case_id][1]]
        scores = {"scores": [-1.0, -2.0], "labels": [3, 0], "answer_rank": rank}
        answer = {"answer_score": -2.0 if rank == 2 else -5.0, "shortened": False}
        lists = {name: [] for name in ("listed", "generated", "best", "worst")}
        rows.append({"case_id": case_id, **scores, **answer, **lists})
    return pa.Table.from_pylist(rows, RANKED_SCHEMA)


def validation() -> list[str]:
    return sorted(case_id for case_id in NOTES if case_id.startswith("validation"))


@pytest.mark.parametrize("systems", [["fused"], ["student", "fused"]])
def test_each_case_is_scored_once(comparison: Comparison, systems: list[str]) -> None:
    config = Config.model_validate({"evaluation": {"systems": systems}})
    comparison = replace(comparison, config=config)
    tested, job = comparison.tested_ids, fused_job(comparison, [SystemRun("fused")])
    of_student = student_job(comparison, [SystemRun("orpo")])
    assert job.job.arguments["scored"] is of_student.job.arguments["scored"] is True
    assert of_student.only == frozenset(tested)
    assert job.only == frozenset([*validation(), *([] if "student" in systems else tested)])


@pytest.mark.parametrize("student_scored", [False, True])
def test_findings_of_the_note_lift_what_the_student_does_not_know(
    comparison: Comparison, student_scored: bool
) -> None:
    tested = comparison.tested_ids
    ranked = {"fused": scored(*validation(), *([] if student_scored else tested))}
    if student_scored:
        ranked["orpo"] = scored(*tested)
    run = SystemRun("fused")
    answers = rank_by_fused(comparison, [run], ranked).predictions[run].to_pylist()
    listed = {(row["case_id"], row["rank"]): row["label_id"] for row in answers}
    assert listed[("test-1", 1)] == IDS[0]
    # No finding: as the student ranks, and its answer was not reached.
    assert (listed[("test-2", 1)], listed[("test-2", 2)]) == (IDS[3], IDS[1])
    pool = read_pool(comparison.output)
    assert pool is not None
    assert (pool.cases, pool.informed) == (13, 12)
    assert {row["case_id"] for row in answers} == {"test-1", "test-2"}
