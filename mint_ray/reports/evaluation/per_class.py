"""How well each answer by itself is told: rows of the report's table by tissue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mint_ray.common.arrays import Ints
from mint_ray.evaluation.metrics.bootstrap import resample_blocks
from mint_ray.evaluation.metrics.controls import expected_by_chance
from mint_ray.evaluation.metrics.per_class import class_blocks
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes
from mint_ray.evaluation.results import MetricValue
from mint_ray.evaluation.systems import Perturbation, SystemRun, in_order
from mint_ray.reports.evaluation.confusion import Confusion, confusion_of


@dataclass(frozen=True)
class ClassRow:
    """One known answer."""

    name: str
    cases: int
    groups: int
    recall: Mapping[str, MetricValue]
    """By system: share of its cases that were answered right."""
    precision: float | None
    """Of the student: share of the cases answered so that are so; None where none was."""
    mistaken_for: tuple[str, float] | None
    """The student's commonest wrong answer and its share of the cases; None for none."""


def class_rows(
    outcomes: Mapping[str, Outcomes],
    cases: EvaluatedCases,
    names: Sequence[str],
    *,
    student: str,
    samples: int,
    seed: int,
) -> list[ClassRow]:
    """One row per known answer of the catalogue that has cases, in the catalogue's order.

    Args:
        outcomes: the systems to show.
        names: (n_labels,) of the catalogue, in the order of its codes.
        student: the system whose precision and mistakes are shown.
    """
    recalls = {name: _recalls(outcome, cases, samples, seed) for name, outcome in outcomes.items()}
    rows = []
    for code, name in enumerate(names):
        inside = cases.known == code
        if inside.any():
            first = outcomes[student].first if student in outcomes else np.full(len(cases), -1)
            given = first == code
            rows.append(
                ClassRow(
                    name,
                    int(inside.sum()),
                    len(np.unique(cases.groups[inside])),
                    {system: values[code] for system, values in recalls.items()},
                    float(inside[given].mean()) if given.any() else None,
                    _commonest(first[inside & ~given], names, int(inside.sum())),
                )
            )
    return rows


def _recalls(
    outcome: Outcomes, cases: EvaluatedCases, samples: int, seed: int
) -> list[MetricValue]:
    """Share of each answer's cases answered right; resamples that lack its cases are left out."""
    blocks = class_blocks(outcome.first, cases.known, cases.n_labels)
    sums = resample_blocks(blocks, cases.groups, samples, seed)
    found = []
    for code in range(cases.n_labels):
        known, right = sums["known"][:, code], sums["right"][:, code]
        if not known[0]:
            found.append(MetricValue(value=None, low=None, high=None, n=0))
            continue
        recall = right[known > 0] / known[known > 0]
        low, high = np.percentile(recall[1:], [2.5, 97.5]) if len(recall) > 1 else recall[[0, 0]]
        value = float(recall[0])
        found.append(
            MetricValue(
                value=value,
                low=min(float(low), value),
                high=max(float(high), value),
                n=int(known[0]),
            )
        )
    return found


def _commonest(wrong: Ints, names: Sequence[str], cases: int) -> tuple[str, float] | None:
    counts = np.bincount(wrong[wrong >= 0], minlength=len(names))
    if not counts.any():
        return None
    most = int(counts.argmax())
    return names[most], int(counts[most]) / cases


@dataclass(frozen=True)
class ClassReport:
    """What a report shows of few answers, each by itself."""

    rows: Sequence[ClassRow]
    confusions: Mapping[str, Confusion]
    """By system."""
    chance: Mapping[str, float]
    """By control with images of other cases: its top-1 expected by chance."""


def report_classes(
    outcomes: Mapping[str, Outcomes],
    cases: EvaluatedCases,
    names: Sequence[str],
    *,
    student: str,
    samples: int,
    seed: int,
) -> ClassReport:
    """Gather `ClassReport`; arguments as for `class_rows`, with all systems' outcomes."""
    shown = {name: outcomes[name] for name in in_order({student, "teacher"} & outcomes.keys())}
    compared = {name: outcomes[name] for name in in_order({"base"} & outcomes.keys())} | shown
    shuffled = SystemRun(student, Perturbation.SHUFFLED).name
    return ClassReport(
        class_rows(compared, cases, names, student=student, samples=samples, seed=seed),
        {name: confusion_of(outcome, cases, names) for name, outcome in shown.items()},
        {shuffled: expected_by_chance(outcomes[shuffled], cases)} if shuffled in outcomes else {},
    )
