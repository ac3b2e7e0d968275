"""Pairs of cross-fitted teachers: each case is ranked by the teacher of its part."""

import pyarrow as pa

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.config.preferences import PreferencesConfig
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.preferences.cross_fitted import CrossFittedPairs
from mint_ray.preferences.render import CasePairs
from mint_ray.stages.prefer import CASE_COLUMNS
from mint_ray.teachers.cross_fit import Folds
from tests.preferences.conftest import LABELS, InventedTeacher


def test_each_case_is_ranked_by_the_teacher_that_has_not_seen_its_group() -> None:
    made: list[int | None] = []

    def make(part: int | None) -> CasePairs:
        made.append(part)
        teacher = InventedTeacher()
        teacher.revision = f"part {part}"
        return CasePairs(
            teacher, Catalogue(LABELS), PreferencesConfig(chosen_size=2, rejected_size=2), "key"
        )

    groups = [("a", "train"), ("c", "test"), ("b", "train"), ("a", "train"), ("c", "test")]
    rows = [
        blank_case(f"case-{i}", "invented")
        | {"group_id": group, "split": split, "label_id": "OMIM:1", "note": "A note."}
        | {"terms": ["HP:0001250"] if i < 4 else []}
        for i, (group, split) in enumerate(groups)
    ]
    pairs = CrossFittedPairs(Folds({"a": 0, "b": 1}, ("r0", "r1")), make)
    table = pa.Table.from_pylist(rows, CASE_SCHEMA).select(CASE_COLUMNS)
    built = pairs.build(table)
    assert [row["case_id"] for row in built] == [f"case-{i}" for i in range(5)]
    teachers = [pair["teacher"] for row in built for pair in row["pairs"]]
    assert teachers == ["part 0", "part None", "part 1", "part 0"]
    assert [row["reason"] for row in built] == [None, None, None, None, "no_terms"]
    assert [row["answer_first"] is None for row in built] == [False] * 4 + [True]
    assert pairs.build(table.slice(2, 1))[0]["pairs"][0]["teacher"] == "part 1"
    assert sorted(made, key=str) == [0, 1, None]  # each is loaded once
