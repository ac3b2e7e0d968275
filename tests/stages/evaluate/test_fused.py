"""The system `fused` with a real look-up, and invented scores in place of a student's."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.config.config import Config
from mint_ray.evaluation.fused.pool import read_pool
from mint_ray.evaluation.systems import SystemRun
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.stages.evaluate import fused
from mint_ray.stages.evaluate.rank import Comparison
from mint_ray.stages.workers.scoring import NAMED_SCORES_SCHEMA

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


def score(config: Any, student: Any, cases: Any, wanted: frozenset[str], *further: Any) -> pa.Table:
    """Score two names, Huntington disease behind the last: the catalogue is sorted by id."""
    rows = []
    for case_id in sorted(wanted):
        rank = {IDS[0]: 4, IDS[1]: 2, IDS[2]: 4}[NOTES[case_id][1]]
        scores = {"scores": [-1.0, -2.0], "labels": [3, 0], "answer_rank": rank}
        answer = {"answer_score": -2.0 if rank == 2 else -5.0, "reason": None}
        rows.append({"case_id": case_id, "group_id": case_id, **scores, **answer})
    return pa.Table.from_pylist(rows, NAMED_SCORES_SCHEMA)


def test_findings_of_the_note_lift_what_the_student_does_not_know(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "score_cases", score)
    run = SystemRun("fused")
    answers = fused.rank_by_fused(comparison, [run]).predictions[run].to_pylist()
    listed = {(row["case_id"], row["rank"]): row["label_id"] for row in answers}
    assert listed[("test-1", 1)] == IDS[0]
    # No finding: as the student ranks, and its answer was not reached.
    assert (listed[("test-2", 1)], listed[("test-2", 2)]) == (IDS[3], IDS[1])
    pool = read_pool(comparison.output)
    assert pool is not None
    assert (pool.cases, pool.informed) == (13, 12)
    assert {row["case_id"] for row in answers} == {"test-1", "test-2"}
