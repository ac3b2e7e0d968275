"""Cases whose known answer moved between two rankings."""

from dataclasses import replace

import numpy as np

from mint_ray.evaluation.changes import changed_cases, count_kinds
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes


def test_changes_come_by_kind_and_size(
    outcomes: dict[str, Outcomes], cases: EvaluatedCases
) -> None:
    """The student has ranks 1, 3, none, none, the teacher 1, 1, 1, none."""
    changes = changed_cases(outcomes["orpo"], outcomes["teacher"], cases)
    assert [(c.case_id, c.known_id, c.seen, c.kind) for c in changes] == [
        ("c", "OMIM:3", False, "right"),
        ("b", "OMIM:2", True, "right"),
    ]
    assert [(c.first_rank, c.second_rank) for c in changes] == [(np.inf, 1.0), (3.0, 1.0)]
    back = changed_cases(outcomes["teacher"], outcomes["orpo"], cases)
    assert [(c.case_id, c.kind) for c in back] == [("c", "wrong"), ("b", "wrong")]
    assert changed_cases(outcomes["orpo"], outcomes["orpo"], cases) == []


def test_changes_below_the_first_answer_are_better_or_worse(
    outcomes: dict[str, Outcomes], cases: EvaluatedCases
) -> None:
    before = replace(outcomes["orpo"], rank=np.array([1.0, 4.0, 9.0, np.inf]))
    after = replace(outcomes["orpo"], rank=np.array([2.0, 8.0, 2.0, 7.0]))
    changes = changed_cases(before, after, cases)
    assert [(c.case_id, c.kind) for c in changes] == [
        ("a", "wrong"),
        ("b", "worse"),
        ("c", "better"),
        ("d", "better"),
    ]
    assert count_kinds(changes) == {"wrong": 1, "right": 0, "worse": 1, "better": 2}
