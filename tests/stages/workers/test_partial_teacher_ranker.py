"""The teacher's ranker, with a teacher that answers for some labels only."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.errors import TeacherError
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.stages.workers import rankers
from tests.preferences.conftest import LABELS, PartialTeacher


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file of the teacher's labels."""
    monkeypatch.setattr(rankers, "load_teacher", lambda folder: PartialTeacher())
    Catalogue(LABELS).write(tmp_path / "catalogue.parquet")
    return str(tmp_path / "catalogue.parquet")


def test_a_known_answer_without_a_score_has_the_worst_rank_wherever_it_stands(
    catalogue: str,
) -> None:
    cases = [
        {**blank_case(name, "test"), "terms": ["HP:0001250"], "label_id": f"OMIM:{known}"}
        for name, known in (("first", 1), ("early", 3), ("last", 9))
    ]
    table = pa.Table.from_pylist(cases, CASE_SCHEMA).select(rankers.TEACHER_COLUMNS)
    rows = rankers.TeacherRanker(
        "-", catalogue, top_k=5, preferences={"chosen_size": 2, "rejected_size": 3}, resources={}
    )(table).to_pylist()
    ranks = [{row["label_id"]: row["rank"] for row in case["listed"]} for case in rows]
    answered = {"OMIM:0": 1, "OMIM:1": 2, "OMIM:2": 3}
    assert ranks == [answered, answered | {"OMIM:3": 10}, answered | {"OMIM:9": 10}]
    worst = [frozenset(case["worst"]) for case in rows]
    assert not any(answered.keys() & labels for labels in worst)
    assert len(set(worst)) > 1


def test_a_teacher_of_another_catalogue_is_refused(catalogue: str) -> None:
    Catalogue(LABELS[:4]).write(Path(catalogue))
    with pytest.raises(TeacherError, match="fit it again"):
        rankers.TeacherRanker(
            "-",
            catalogue,
            top_k=5,
            preferences={"chosen_size": 2, "rejected_size": 3},
            resources={},
        )


def test_no_gpu_is_used_unless_one_is_reserved(
    catalogue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    for gpus, visible in ((1, "3"), (0, "")):
        resources = {"gpus_per_worker": gpus}
        rankers.TeacherRanker(
            "-",
            catalogue,
            top_k=5,
            preferences={"chosen_size": 2, "rejected_size": 3},
            resources=resources,
        )
        assert os.environ["CUDA_VISIBLE_DEVICES"] == visible
