"""Confusion matrix of known and first answers, and its plot."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from mint_ray.common.arrays import Ints
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes
from mint_ray.reports.svg import drawing, rectangle, text

NO_ANSWER = "no answer"
NOT_LISTED = "not in the catalogue"
SHADES = 10
"""Number of shades of a cell.

The shade grows with the square root of the share, because mistakes are small shares.
"""

_CELL, _LEFT, _TOP, _NAME = 26, 128, 96, 20


@dataclass(frozen=True)
class Confusion:
    """Confusion matrix: cases counted by known answer (row) and first answer (column)."""

    counts: Ints
    """(rows, columns) numbers of cases."""
    known: tuple[str, ...]
    """Names of the rows: known answers that occur."""
    answered: tuple[str, ...]
    """Names of the columns: answers that are known of some case or given to one."""


def confusion_of(outcome: Outcomes, cases: EvaluatedCases, names: Sequence[str]) -> Confusion:
    """Count first answers by known answer.

    Args:
        names: (n_labels,) names of the catalogue, in the order of its codes.
    """
    n = len(names)
    counts = np.zeros((n + 1, n + 1), dtype=np.int64)
    known = np.where(cases.known < 0, n, cases.known)
    first = np.where(outcome.first < 0, n, outcome.first)
    np.add.at(counts, (known, first), 1)
    occurs = counts.sum(axis=1) > 0
    columns = occurs | (counts.sum(axis=0) > 0)
    columns[n] = counts[:, n].any()
    rows, shown = np.flatnonzero(occurs), np.flatnonzero(columns)
    return Confusion(
        counts[np.ix_(rows, shown)],
        tuple([*names, NOT_LISTED][code] for code in rows),
        tuple([*names, NO_ANSWER][code] for code in shown),
    )


def confusion_plot(title: str, confusion: Confusion) -> Markup:
    """Draw a confusion matrix; cells are shares of their row in percent.

    Rows are known answers, columns first answers. A cell's hint has names, counts and the share.
    """
    counts = confusion.counts
    totals = counts.sum(axis=1)
    shapes = []
    for column, name in enumerate(confusion.answered):
        x = _LEFT + _CELL * (column + 0.5)
        shapes.append(text(x + 4, _TOP - 6, _shorten(name), "label", turn=-45))
    for row, name in enumerate(confusion.known):
        y = _TOP + _CELL * row
        shapes.append(text(_LEFT - 8, y + _CELL / 2 + 4, _shorten(name), "label", "end"))
        for column, answer in enumerate(confusion.answered):
            count, total = int(counts[row, column]), int(totals[row])
            hint = f"known {name}, answered {answer}: {count:,} of {total:,} cases"
            shapes += _cell(_LEFT + _CELL * column, y, count / total, name == answer, hint)
        end = _LEFT + _CELL * len(confusion.answered)
        shapes.append(text(end + 8, y + _CELL / 2 + 4, f"{int(totals[row]):,}", "tick"))
    width = _LEFT + _CELL * len(confusion.answered) + 96
    height = _TOP + _CELL * len(confusion.known) + 8
    return drawing(width, height, f"Confusion matrix of {title}", shapes, fixed=True)


def _cell(x: float, y: float, share: float, right: bool, hint: str) -> list[str]:
    """Draw a cell; its number is left out below half a percent."""
    shade = min(SHADES, int(np.ceil(share**0.5 * SHADES)))
    style = f"cell s{shade}{' right' if right else ''}"
    shapes = [rectangle(x + 0.5, y + 0.5, _CELL - 1, _CELL - 1, style, f"{hint} ({share:.1%})")]
    if share >= 0.005:
        on = "on-deep" if shade >= 8 else "on-pale"
        shapes.append(text(x + _CELL / 2, y + _CELL / 2 + 4, f"{100 * share:.0f}", on, "middle"))
    return shapes


def _shorten(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
