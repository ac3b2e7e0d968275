"""Agreement with the teacher's best and worst labels: coverage, avoidance and CAR.

Source: MINT, arXiv 2505.05736.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mint_ray.common.arrays import Bools, Floats, Ints
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes

CAR_LAMBDA = 0.5
_NOT_LISTED = -3  # differs from the codes of listed names, which are -1 or more


@dataclass(frozen=True)
class TeacherLists:
    """The teacher's best and worst labels per case, as label ids."""

    case_ids: Sequence[str]
    top: NDArray[np.object_] | Sequence[Sequence[str]]
    """(n, k) best first; fewer or none for a case that the teacher cannot judge."""
    bottom: NDArray[np.object_] | Sequence[Sequence[str]]
    """(n, q) in any order: the teacher's last q labels, whatever the pairs of a case reject."""
    systems: frozenset[str]
    """The systems that learned from this teacher; only they get coverage, avoidance and CAR."""
    depth: int
    """Number k of names at the head of a student's list that count, as many as are in `top`. At a
    greater length even the teacher's own ranking would be covered by a share k / length only, and
    a list as long as the catalogue would contain the teacher's worst too, in whatever order."""


def teacher_metrics(
    outcome: Outcomes, cases: EvaluatedCases, teacher: TeacherLists
) -> dict[str, Floats]:
    """Return coverage and avoidance per case, (n,) each; 0 for a case with an empty list.

    Coverage is the share of the student's first k names that are among the teacher's best k, and
    avoidance 1 − the share of them that are among the teacher's worst.

    Source: MINT, arXiv 2505.05736.
    """
    listed, codes = outcome.listed[:, : teacher.depth], outcome.codes[:, : teacher.depth]
    named = listed.sum(axis=1)
    in_top = _share_in(listed, codes, _code_lists(teacher.case_ids, teacher.top, cases))
    in_bottom = _share_in(listed, codes, _code_lists(teacher.case_ids, teacher.bottom, cases))
    return {"coverage": in_top, "avoidance": np.where(named > 0, 1.0 - in_bottom, 0.0)}


def _code_lists(
    case_ids: Sequence[str],
    labels: NDArray[np.object_] | Sequence[Sequence[str]],
    cases: EvaluatedCases,
) -> Ints:
    """Return (n, width) codes in the order of the evaluated cases, padded with `_NOT_LISTED`."""
    width = max((len(row) for row in labels), default=0)
    codes = np.full((len(cases), width), _NOT_LISTED, dtype=np.int64)
    positions = {case_id: position for position, case_id in enumerate(cases.case_ids)}
    for case_id, row in zip(case_ids, labels, strict=True):
        if case_id in positions:
            row_codes = [cases.codes.get(label, _NOT_LISTED) for label in row]
            codes[positions[case_id], : len(row)] = row_codes
    return codes


def _share_in(listed: Bools, codes: Ints, lists: Ints) -> Floats:
    inside = (codes[:, :, None] == lists[:, None, :]).any(axis=2) & listed
    share: Floats = inside.sum(axis=1) / np.maximum(listed.sum(axis=1), 1)
    return share


def coverage_avoidance_rate(coverage: Floats, avoidance: Floats) -> Floats:
    """Return CAR = (1 + λ)·C·A / (λ·C + A) with λ = 0.5; 0 where C and A are both 0.

    Source: MINT, arXiv 2505.05736.
    """
    denominator = CAR_LAMBDA * coverage + avoidance
    numerator = (1 + CAR_LAMBDA) * coverage * avoidance
    is_defined = denominator > 0
    rate: Floats = np.where(is_defined, numerator / np.where(is_defined, denominator, 1.0), 0.0)
    return rate
