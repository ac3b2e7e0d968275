"""Recall, precision and commonest mistake per answer, for catalogues with few answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mint_ray.common.arrays import Ints
from mint_ray.evaluation.metrics.bootstrap import resample_blocks
from mint_ray.evaluation.metrics.controls import expected_by_chance
from mint_ray.evaluation.metrics.per_class import class_blocks
from mint_ray.evaluation.metrics.shares import evidence_of, metric_value
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes
from mint_ray.evaluation.results import MetricValue
from mint_ray.evaluation.systems import Perturbation, SystemRun, in_order
from mint_ray.reports.evaluation.confusion import Confusion, confusion_of


@dataclass(frozen=True)
class ClassRow:
    """Figures of one known answer."""

    name: str
    cases: int
    groups: int
    recall: Mapping[str, MetricValue]
    """By system: share of the answer's cases that were answered right."""
    precision: float | None
    """Share of the student's cases with this first answer that are right; None without any."""
    mistaken_for: tuple[str, float] | None
    """The student's commonest wrong answer and its share of the cases; None without mistakes."""


def class_rows(
    outcomes: Mapping[str, Outcomes],
    cases: EvaluatedCases,
    names: Sequence[str],
    *,
    student: str,
    samples: int,
    seed: int,
) -> list[ClassRow]:
    """Return one row per answer that has cases, in the catalogue's order.

    Args:
        outcomes: outcomes of the systems to show, by system.
        names: (n_labels,) names of the catalogue, in the order of its codes.
        student: the system whose precision and mistakes are shown.
        samples: bootstrap resamples of the intervals, over groups.
    """
    recalls = {name: _recalls(outcome, cases, samples, seed) for name, outcome in outcomes.items()}
    rows = []
    for code, name in enumerate(names):
        is_known = cases.known == code
        if is_known.any():
            first = outcomes[student].first if student in outcomes else np.full(len(cases), -1)
            is_answered = first == code
            rows.append(
                ClassRow(
                    name,
                    int(is_known.sum()),
                    len(np.unique(cases.groups[is_known])),
                    {system: values[code] for system, values in recalls.items()},
                    float(is_known[is_answered].mean()) if is_answered.any() else None,
                    _commonest(first[is_known & ~is_answered], names, int(is_known.sum())),
                )
            )
    return rows


def _recalls(
    outcome: Outcomes, cases: EvaluatedCases, samples: int, seed: int
) -> list[MetricValue]:
    """Return the recall of each answer with 95 % intervals, in the order of codes.

    Resamples that have no case of an answer are left out of its interval.
    """
    blocks = class_blocks(outcome.first, cases.known, cases.n_labels)
    sums = resample_blocks(blocks, cases.groups, samples, seed)
    recalls = []
    for code in range(cases.n_labels):
        known, right = sums["known"][:, code], sums["right"][:, code]
        if not known[0]:
            recalls.append(MetricValue(value=None, low=None, high=None, n=0))
            continue
        recall = right[known > 0] / known[known > 0]
        inside = blocks["known"][:, code] > 0
        evidence = evidence_of(blocks["right"][inside, code], cases.groups[inside])
        recalls.append(metric_value(recall, int(known[0]), evidence))
    return recalls


def _commonest(wrong: Ints, names: Sequence[str], cases: int) -> tuple[str, float] | None:
    counts = np.bincount(wrong[wrong >= 0], minlength=len(names))
    if not counts.any():
        return None
    most = int(counts.argmax())
    return names[most], int(counts[most]) / cases


@dataclass(frozen=True)
class ClassReport:
    """Figures per answer, for a report about few answers."""

    rows: Sequence[ClassRow]
    confusions: Mapping[str, Confusion]
    """By system."""
    chance: Mapping[str, float]
    """Top-1 expected by chance, by control that shows images of other cases."""


def report_classes(
    outcomes: Mapping[str, Outcomes],
    cases: EvaluatedCases,
    names: Sequence[str],
    *,
    student: str,
    samples: int,
    seed: int,
) -> ClassReport:
    """Gather the figures per answer.

    Arguments are those of `class_rows`, with the outcomes of all systems.
    """
    shown = {name: outcomes[name] for name in in_order({student, "teacher"} & outcomes.keys())}
    compared = {name: outcomes[name] for name in in_order({"base"} & outcomes.keys())} | shown
    shuffled = SystemRun(student, Perturbation.SHUFFLED).name
    return ClassReport(
        class_rows(compared, cases, names, student=student, samples=samples, seed=seed),
        {name: confusion_of(outcome, cases, names) for name, outcome in shown.items()},
        {shuffled: expected_by_chance(outcomes[shuffled], cases)} if shuffled in outcomes else {},
    )
