"""From a batch of cases to rows: pairs, or the reason for none."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.config.preferences import PreferencesConfig
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.preferences.render import CasePairs

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
