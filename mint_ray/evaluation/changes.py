"""Changes of the same cases' ranks between two systems, or two runs of one system."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes


@dataclass(frozen=True)
class CaseChange:
    """A case whose known answer has another rank in the second ranking."""

    case_id: str
    known_id: str
    """Primary id of the known answer."""
    seen: bool
    """True if the known answer has training cases."""
    first_rank: float
    """Rank of the known answer from 1, infinite for a miss."""
    second_rank: float

    @property
    def kind(self) -> str:
        """`right` or `wrong` where the first answer became so, else `better` or `worse`."""
        if self.second_rank == 1:
            return "right"
        if self.first_rank == 1:
            return "wrong"
        return "better" if self.second_rank < self.first_rank else "worse"


KINDS = ("wrong", "right", "worse", "better")
"""Kinds of changes, in the order of `changed_cases`."""


def changed_cases(first: Outcomes, second: Outcomes, cases: EvaluatedCases) -> list[CaseChange]:
    """Return the cases with another rank, by kind; within one, the largest change first.

    The size of a change is that of 1 / rank, which the mean reciprocal rank is made of.

    Args:
        first, second: outcomes on the same cases.
        cases: the evaluated cases.
    """
    changes = [
        CaseChange(
            case_id=cases.case_ids[index],
            known_id=cases.known_ids[index],
            seen=bool(cases.strata["seen"][index]),
            first_rank=float(first.rank[index]),
            second_rank=float(second.rank[index]),
        )
        for index in np.flatnonzero(first.rank != second.rank)
    ]

    def sort_key(change: CaseChange) -> tuple[int, float, str]:
        size = abs(1 / change.second_rank - 1 / change.first_rank)
        return KINDS.index(change.kind), -size, change.case_id

    return sorted(changes, key=sort_key)


def count_kinds(changes: Sequence[CaseChange]) -> dict[str, int]:
    """Return the number of changes of each of `KINDS`."""
    return {kind: sum(change.kind == kind for change in changes) for kind in KINDS}
