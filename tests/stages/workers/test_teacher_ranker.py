"""The teacher's rows in an evaluation, and what a student with the same ranking makes of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mint_ray.config.config import Config
from mint_ray.evaluation.metrics.compute import evaluate
from mint_ray.evaluation.outcomes import collect_outcomes, index_cases
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.preferences.select import rank_pairs
from mint_ray.stages.evaluate.rank import Comparison, teacher_lists
from mint_ray.stages.workers import rankers
from mint_ray.stages.workers.rankers import TEACHER_COLUMNS, TeacherRanker, predictions_of

IDS = tuple(f"OMIM:{n:02}" for n in range(20))
CATALOGUE = Catalogue(Label(i, f"Disease {i[-2:]}", (i,), (), ()) for i in IDS)


class DrawnTeacher:
    """Draws scores of five cases; the last one cannot be judged."""

    scores = np.random.default_rng(0).normal(size=(5, len(IDS))).astype(np.float32)
    scores[4] = np.nan

    labels = IDS
    revision = "drawn"

    def score(self, batch: Any) -> np.ndarray:
        return self.scores


@pytest.fixture
def cases() -> pa.Table:
    columns: dict[str, Any] = {name: [None] * 5 for name in TEACHER_COLUMNS}
    worst_of_all = IDS[int(DrawnTeacher.scores[0].argmin())]
    columns |= {"case_id": list("abcde"), "group_id": list("abcde"), "seen": [True] * 5}
    return pa.table(columns | {"label_id": [worst_of_all, IDS[3], IDS[5], IDS[7], IDS[9]]})


@pytest.fixture
def ranked(cases: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pa.Table:
    CATALOGUE.write(tmp_path / "catalogue.parquet")
    monkeypatch.setattr(rankers, "load_teacher", lambda folder: DrawnTeacher())
    monkeypatch.setattr(rankers, "batch_of", lambda table: {"case_id": [""] * len(table)})
    preferences = config().preferences.model_dump(mode="json")
    catalogue = str(tmp_path / "catalogue.parquet")
    return TeacherRanker("teacher", catalogue, 10, {}, preferences)(cases)


def config() -> Config:
    return Config.model_validate({"preferences": {"chosen_size": 3, "rejected_size": 4}})


def test_a_student_with_the_teachers_ranking_covers_all_of_it(
    cases: pa.Table, ranked: pa.Table
) -> None:
    comparison = Comparison(config(), {}, Path(), cases, cases, CATALOGUE, "orpo")
    judged = cases.slice(0, 4)
    indexed = index_cases(judged, {i: i for i in IDS})
    outcomes = collect_outcomes(predictions_of(ranked, "orpo"), indexed, 10)
    lists = teacher_lists(comparison, ranked)
    found = evaluate(outcomes, indexed, bins=10, samples=100, seed=0, teacher=lists)["orpo"]["all"]
    values = [found[name]["value"] for name in ("coverage", "avoidance", "car")]
    assert values == pytest.approx([1, 1, 1])


def test_the_worst_labels_are_those_of_the_pairs(cases: pa.Table, ranked: pa.Table) -> None:
    known = [IDS.index(label) for label in cases["label_id"].to_pylist()]
    for row, gold, scores in zip(ranked.to_pylist()[:4], known, DrawnTeacher.scores, strict=False):
        pair = rank_pairs(scores, gold, config().preferences, row["case_id"]).pairs[0]
        assert row["worst"] == [IDS[label] for label in pair.rejected]
        assert row["best"] == [listed["label_id"] for listed in row["listed"][:3]]
    assert cases["label_id"][0].as_py() not in ranked["worst"][0].as_py()


def test_a_case_that_the_teacher_cannot_judge_has_no_labels(ranked: pa.Table) -> None:
    unjudged = ranked.to_pylist()[4]
    assert (unjudged["listed"], unjudged["best"], unjudged["worst"]) == ([], [], [])
