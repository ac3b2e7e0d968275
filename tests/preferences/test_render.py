"""From a batch of cases to rows: pairs, or the reason for none."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mint_ray.cases.schema import CASE_SCHEMA, RECOMBINED, blank_case
from mint_ray.config.preferences import PreferencesConfig
from mint_ray.errors import TeacherError
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.preferences.render import CasePairs
from tests.preferences.conftest import LABELS, PartialTeacher, build_pairs

CATALOGUE = Catalogue(
    [Label(f"OMIM:{i}", f"Disease {i}", (f"OMIM:{i}",), (), ()) for i in range(6)]
)


class Choosy:
    """Cannot judge a case with a term, which is its reason; "?" stands for none."""

    labels = CATALOGUE.ids
    revision = "choosy@1"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def score(self, batch: Mapping[str, Sequence[Any]]) -> np.ndarray:
        scores = np.log(np.full((len(batch["terms"]), 6), 1 / 6, dtype=np.float32))
        scores[[bool(terms) for terms in batch["terms"]]] = np.nan
        return scores

    def unusable_reasons(self, batch: Mapping[str, Sequence[Any]]) -> list[str]:
        self.asked.append([terms[0] for terms in batch["terms"]])
        return [terms[0].strip("?") for terms in batch["terms"]]


def table(**terms: list[str]) -> pa.Table:
    rows = [
        {**blank_case(name, "test"), "split": "train", "note": "Ataxia.", "terms": own}
        for name, own in terms.items()
    ]
    return pa.Table.from_pylist(rows, CASE_SCHEMA)


def unusable_reasons(teacher: Choosy, cases: pa.Table) -> dict[str, str | None]:
    config = PreferencesConfig(chosen_size=2, rejected_size=2)
    rows = CasePairs(teacher, CATALOGUE, config, "key").build(cases)
    assert all(bool(row["pairs"]) is (row["reason"] is None) for row in rows)
    return {row["case_id"]: row["reason"] for row in rows}


def test_the_teachers_own_reason_is_kept() -> None:
    teacher = Choosy()
    cases = table(good=[], dark=["image_unreadable"], fine=[], odd=["?"])
    assert unusable_reasons(teacher, cases) == {
        "good": None,
        "dark": "image_unreadable",
        "fine": None,
        "odd": "teacher_not_finite",
    }
    assert teacher.asked == [["image_unreadable", "?"]]  # only what it could not judge


def test_a_teacher_that_judges_all_is_asked_for_no_reason() -> None:
    teacher = Choosy()
    assert unusable_reasons(teacher, table(good=[])) == {"good": None}
    assert teacher.asked == []


def test_the_prompt_asks_for_as_many_names_as_the_teacher_answered() -> None:
    settings = {"chosen_size": 5, "rejected_size": 4}
    [row] = build_pairs([{"label_id": "OMIM:9"}], PartialTeacher(), **settings)
    [pair] = row["pairs"]
    assert pair["chosen_labels"] == ["OMIM:0", "OMIM:1", "OMIM:2"]
    assert "EXACTLY 3 " in pair["prompt"][1]["content"]
    assert row["unanswered"] == 4
    assert pair["rejected_scores"] == [PartialTeacher.floor] * 4
    assert not {"OMIM:9", *pair["chosen_labels"]} & set(pair["rejected_labels"])


def test_a_teacher_of_other_labels_is_refused() -> None:
    with pytest.raises(TeacherError, match=r"expected the 2 labels .* found 10"):
        CasePairs(PartialTeacher(), Catalogue(LABELS[:2]), PreferencesConfig(), "key")


def test_scores_of_another_shape_are_refused() -> None:
    class Narrow(Choosy):
        def score(self, batch: Mapping[str, Sequence[Any]]) -> np.ndarray:
            return super().score(batch)[:, :5]

    builder = CasePairs(Narrow(), CATALOGUE, PreferencesConfig(chosen_size=2), "key")
    with pytest.raises(TeacherError, match=r"shape \(1, 6\) .* found \(1, 5\)"):
        builder.build(table(good=[]))


def test_the_known_answer_of_a_recombined_patient_comes_first() -> None:
    kept, made, without = (
        build_pairs([{"source": source, "label_id": "OMIM:9"}], gold=gold)[0]
        for source, gold in (("packet", "keep"), (RECOMBINED, "keep"), (RECOMBINED, "none"))
    )
    assert kept["pairs"][0]["chosen_labels"][0] != "OMIM:9"
    assert made["pairs"][0]["chosen_labels"][0] == "OMIM:9"
    assert "OMIM:9" not in without["pairs"][0]["chosen_labels"]
    assert (kept["answer_first"], made["answer_first"]) == (False, None)
