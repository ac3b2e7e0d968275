"""Training curves of a student as small plots, from the metrics of its optimizer steps.

The curves of an ORPO student are shown beside published values of the released run.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from mint_ray.reports.axes import Scale, is_number, tick_labels, ticks
from mint_ray.reports.svg import circle, drawing, line, polyline, text

Rows = Sequence[Mapping[str, float]]
"""One mapping per optimizer step: `epoch` (fractional, at the step's end) and its metrics."""

MOST_POINTS = 60
"""Most points of a curve; the steps of a longer run are averaged."""

_TRAINED, _RELEASED = "c-teal", "c-rose"
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 240, 184, 44, 10, 8, 36


class Point(NamedTuple):
    """A metric at an epoch, or the means of both over several steps."""

    epoch: float
    value: float


@dataclass(frozen=True)
class TrainingCurves:
    """Plots of one training, with the facts for their caption."""

    panels: Sequence[tuple[str, Markup]]
    """(title, SVG) of every metric that the steps have values of."""
    notes: Sequence[str]
    """Explanations of metrics and of dashed lines."""
    steps: int
    epochs: float
    steps_per_point: int


@dataclass(frozen=True)
class Panel:
    """One plot: a metric, its published values and, dashed, a metric that is a part of it."""

    title: str
    metric: str
    note: str
    released: Mapping[int, float]
    """Epoch -> value of the released run."""
    dashed: str | None = None
    reach: float = 0.0
    """Value that the axis covers, beside 0 and all drawn values."""


# Values of the released ORPO run: MINT, arXiv 2505.05736.
PANELS = (
    Panel(
        "Loss",
        "loss",
        "",
        {0: 1.11, 1: 0.53, 5: 0.23, 10: 0.105, 26: 0.024},
        "nll_loss",
    ),
    Panel(
        "Log odds ratio term",
        "log_odds_ratio",
        "Log odds ratio term: mean log σ of the log odds of chosen over rejected, 0 at best.",
        {0: -0.52, 1: -0.32, 5: -0.06, 10: -0.006, 26: -0.004},
    ),
    Panel(
        "Reward accuracy",
        "rewards/accuracies",
        "Reward accuracy: share of pairs whose chosen answer is rewarded above the rejected one.",
        {0: 0.75, 1: 0.91, 5: 0.99, 10: 0.999, 26: 0.994},
        reach=1.0,
    ),
    Panel(
        "Log-probability, rejected",
        "logps/rejected",
        "",
        {0: -0.87, 1: -0.69, 5: -4.8, 10: -12.1, 26: -12.5},
    ),
)


def training_curves(rows: Rows, system: str | None = None) -> TrainingCurves:
    """Draw the curves of a training; without rows there are no panels.

    Args:
        rows: the steps, in any order; values that are missing or not finite are left out.
        system: system name of the student. For `orpo`, the values of the released run are added
            up to the last epoch of this training.
    """
    rows = [row for row in rows if "epoch" in row]  # without a validation before the first step
    epochs = max((row["epoch"] for row in rows if is_number(row.get("epoch"))), default=0.0)
    panels, notes = [], []
    for panel in PANELS:
        curve = averaged(rows, panel.metric)
        if not curve:
            continue
        dashed = averaged(rows, panel.dashed) if panel.dashed else []
        released = _reached(panel.released, epochs) if system == "orpo" else []
        panels.append((panel.title, _draw(panel, curve, dashed, released, epochs)))
        notes += [panel.note] if panel.note else []
        notes += ["Dashed: the likelihood term of the loss."] if dashed else []
    return TrainingCurves(panels, notes, len(rows), epochs, steps_per_point(len(rows)))


def steps_per_point(steps: int) -> int:
    """Return the steps per point: the fewest with which a curve has at most `MOST_POINTS`."""
    return max(1, math.ceil(steps / MOST_POINTS))


def averaged(rows: Rows, metric: str) -> list[Point]:
    """Average a metric over consecutive steps, `steps_per_point` each; the last may have fewer."""
    points = [
        Point(row["epoch"], row[metric])
        for row in rows
        if is_number(row.get("epoch")) and is_number(row.get(metric))
    ]
    points.sort(key=lambda point: point.epoch)
    size = steps_per_point(len(points))
    return [_mean(points[start : start + size]) for start in range(0, len(points), size)]


def _mean(points: Sequence[Point]) -> Point:
    n = len(points)
    return Point(sum(p.epoch for p in points) / n, sum(p.value for p in points) / n)


def _reached(released: Mapping[int, float], epochs: float) -> list[Point]:
    """Return published values up to `epochs`.

    Pairs that do not fill a last batch are left out, so an epoch may end a little early.
    """
    return [Point(epoch, value) for epoch, value in released.items() if epoch <= 1.05 * epochs]


def _draw(
    panel: Panel,
    curve: Sequence[Point],
    dashed: Sequence[Point],
    released: Sequence[Point],
    epochs: float,
) -> Markup:
    values = [panel.reach, *(point.value for point in (*curve, *dashed, *released))]
    last = max([epochs, *(point.epoch for point in released)]) or 1.0
    marks = ticks(min(values), max(values))
    across = Scale(0.0, last, _LEFT, _WIDTH - _RIGHT)
    up = Scale(marks[0], marks[-1], _HEIGHT - _BOTTOM, _TOP)

    def places(points: Sequence[Point]) -> list[tuple[float, float]]:
        return [(across.at(point.epoch), up.at(point.value)) for point in points]

    shapes = _frame(across, up, marks)
    if dashed:
        shapes.append(polyline(places(dashed), f"curve dashed {_TRAINED}"))
    shapes.append(polyline(places(curve), f"curve {_TRAINED}"))
    for point, (x, y) in zip(released, places(released), strict=True):
        hint = f"released run, epoch {point.epoch:g}: {point.value:g}"
        shapes.append(circle(x, y, 4.5, f"dot hollow {_RELEASED}", hint))
    title = f"{panel.title} by epoch, from {curve[0].value:.3g} to {curve[-1].value:.3g}"
    return drawing(_WIDTH, _HEIGHT, title, shapes)


def _frame(across: Scale, up: Scale, marks: Sequence[float]) -> list[str]:
    """Draw grid lines and labels of both axes."""
    shapes = []
    for value, label in zip(marks, tick_labels(marks), strict=True):
        shapes.append(line(_LEFT, up.at(value), _WIDTH - _RIGHT, up.at(value), "grid"))
        shapes.append(text(_LEFT - 9, up.at(value) + 4, label, "tick", "end"))
    inside = [epoch for epoch in ticks(0.0, across.high) if epoch <= across.high * 1.001]
    for epoch, label in zip(inside, tick_labels(inside), strict=True):
        shapes.append(text(across.at(epoch), _HEIGHT - 20, label, "tick", "middle"))
    shapes.append(text(across.at(across.high / 2), _HEIGHT - 4, "epoch", "tick", "middle"))
    return shapes
