"""Example cases of the report: ids, catalogue names, ranks and probabilities only.

Free text that a model generated is not shown, because it may repeat the note.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes

UNGROUNDED = "not in the catalogue"


@dataclass(frozen=True)
class ExampleAnswer:
    """One answer of a ranking."""

    rank: int
    label_id: str | None
    name: str
    probability: float | None
    is_known: bool


@dataclass(frozen=True)
class Example:
    """One case with the answers of each system."""

    case_id: str
    known_id: str
    known_name: str
    answers: dict[str, tuple[ExampleAnswer, ...]]
    """By system, best first; the known answer comes last if it ranks below the shown ones."""


def choose_examples(
    predictions: pa.Table,
    cases: EvaluatedCases,
    outcomes: Mapping[str, Outcomes],
    names: Mapping[str, str],
    *,
    student: str,
    count: int = 8,
    places: int = 5,
    seed: int = 0,
) -> list[Example]:
    """Choose random cases; the student's first answer is right for half of them if possible.

    Args:
        names: label id -> name to show.
        student: the system that decides which cases count as right; its rankings and the
            teacher's are shown if they have outcomes.
        count: number of cases.
        places: answers shown per ranking.
    """
    shown = [system for system in (student, "teacher") if system in outcomes]
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(cases))
    right = outcomes[student].correct[shuffled] if student in outcomes else shuffled < 0
    half = min(int(right.sum()), max(count // 2, count - int((~right).sum())))
    chosen = [*shuffled[right][:half], *shuffled[~right][: count - half]]
    case_ids = [cases.case_ids[index] for index in chosen]
    is_shown = pc.and_(
        pc.is_in(predictions["case_id"], pa.array(case_ids, pa.string())),
        pc.is_in(predictions["system"], pa.array(shown, pa.string())),
    )
    rows = predictions.filter(is_shown).sort_by("rank").to_pylist()
    return [
        Example(
            case_id,
            cases.known_ids[index],
            names.get(cases.known_ids[index], cases.known_ids[index]),
            {
                system: _answers(
                    [r for r in rows if (r["case_id"], r["system"]) == (case_id, system)],
                    cases,
                    int(cases.known[index]),
                    names,
                    places,
                )
                for system in shown
            },
        )
        for index, case_id in zip(chosen, case_ids, strict=True)
    ]


def _answers(
    rows: Sequence[Mapping[str, Any]],
    cases: EvaluatedCases,
    known: int,
    names: Mapping[str, str],
    places: int,
) -> tuple[ExampleAnswer, ...]:
    answers = []
    for row in rows:
        is_known = cases.codes.get(row["label_id"], -1) == known
        if row["rank"] <= places or is_known:
            name = names.get(row["label_id"], UNGROUNDED)
            answers.append(
                ExampleAnswer(row["rank"], row["label_id"], name, row["probability"], is_known)
            )
    return tuple(answers)
