"""Plots of an evaluation's report as inline SVG: metrics, ranks, reliability."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from textwrap import wrap

import numpy as np
from markupsafe import Markup

from mint_ray.evaluation.metrics.ece import ReliabilityBin, reliability
from mint_ray.evaluation.outcomes import Outcomes
from mint_ray.evaluation.results import METRICS, Metrics, MetricValue, format_value
from mint_ray.evaluation.systems import SYSTEMS, in_order, is_control, split_variant, system_title
from mint_ray.reports.evaluation.table import cell_text
from mint_ray.reports.svg import circle, drawing, line, rectangle, text

_COLOURS = {"majority": "grey", "base": "amber", "teacher": "indigo"}
_STUDENT_COLOUR = "teal"
_OTHER_COLOURS = ("rose", "sky", "olive", "violet")

RANK_BUCKETS: tuple[tuple[str, float], ...] = (
    ("rank 1", 1),
    ("2–3", 3),
    ("4–10", 10),
    ("beyond 10", np.finfo(np.float64).max),
    ("not ranked", np.inf),
)
"""Title and highest rank of each bucket of the rank plot."""

_WIDTH, _LEFT, _RIGHT, _ROW = 320, 106, 36, 28
_LABEL = 15
"""Most characters on a line of a row's label, which has 96 units of room."""


def colour_class(system: str, student: str) -> str:
    """Return the style-sheet class that colours a system, the same in every plot.

    The trained `student` has the same colour in every report, whatever its objective. A control is
    hollow, in the colour of the system that it is a variant of.
    """
    if is_control(system):
        base, end = split_variant(system)
        return f"{colour_class(base, student) if end else 'c-violet'} hollow"
    system = split_variant(system)[0]
    if system == student:
        return f"c-{_STUDENT_COLOUR}"
    if system in _COLOURS:
        return f"c-{_COLOURS[system]}"
    index = list(SYSTEMS).index(system) if system in SYSTEMS else len(SYSTEMS)
    return f"c-{_OTHER_COLOURS[index % len(_OTHER_COLOURS)]}"


def metric_dots(metrics: Metrics, metric: str, student: str, stratum: str = "all") -> Markup:
    """Draw value and interval of a metric between 0 and 1, one row per system."""
    systems = in_order(metrics)
    bottom = 8 + _ROW * len(systems)
    shapes = _share_axis(bottom)
    for row, system in enumerate(systems):
        y = 8 + _ROW * (row + 0.5)
        value = metrics[system].get(stratum, {}).get(metric)
        shapes += _row_label(_LEFT - 10, y, system)
        shapes += _dot_with_interval(y, metric, value, colour_class(system, student))
        shapes.append(text(_WIDTH - 2, y + 4, _short(metric, value), "value", "end"))
    title = METRICS[metric].title
    return drawing(_WIDTH, bottom + 22, f"{title} by system with 95% intervals", shapes)


def stratum_dots(metrics: Metrics, metric: str, strata: tuple[str, str], student: str) -> Markup:
    """Draw a metric in two strata, the first filled, the second hollow, one row per system."""
    systems = in_order(metrics)
    row_height = _ROW + 10
    bottom = 8 + row_height * len(systems)
    shapes = _share_axis(bottom)
    for row, system in enumerate(systems):
        y = 8 + row_height * (row + 0.5)
        shapes += _row_label(_LEFT - 10, y, system)
        style = colour_class(system, student)
        for stratum, shift, hollow in zip(strata, (-7, 7), ("", " hollow"), strict=True):
            value = metrics[system].get(stratum, {}).get(metric)
            shapes += _dot_with_interval(y + shift, metric, value, style + hollow)
            shapes.append(text(_WIDTH - 2, y + shift + 4, _short(metric, value), "value", "end"))
    title = METRICS[metric].title
    return drawing(_WIDTH, bottom + 22, f"{title} by system, {strata[0]} and {strata[1]}", shapes)


def _row_label(x: float, y: float, system: str) -> list[str]:
    """Draw the title of a system, centred on y; text after a comma goes on a line of its own.

    Titles such as `ORPO + CFT student` lose their last word; other long ones are broken.
    """
    parts = system_title(system).split(", ", 1)
    if "+" in parts[0]:
        parts[0] = parts[0].removesuffix(" student")
    lines = [row for part in parts for row in wrap(part, _LABEL, break_on_hyphens=False)]
    top = y + 4 - 6.5 * (len(lines) - 1)
    return [text(x, top + 13 * i, row, "label", "end") for i, row in enumerate(lines)]


def _share_axis(bottom: float) -> list[str]:
    shapes = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _share_x(share)
        shapes.append(line(x, 4, x, bottom, "grid"))
        shapes.append(text(x, bottom + 16, f"{share:.0%}", "tick", "middle"))
    return shapes


def _share_x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT - 14)


def _dot_with_interval(y: float, metric: str, value: MetricValue | None, style: str) -> list[str]:
    if value is None or value["value"] is None or value["low"] is None or value["high"] is None:
        return []
    return [
        line(_share_x(value["low"]), y, _share_x(value["high"]), y, f"whisker {style}"),
        circle(_share_x(value["value"]), y, 5, f"dot {style}", cell_text(metric, value)),
    ]


def _short(metric: str, value: MetricValue | None) -> str:
    return format_value(metric, value["value"] if value else None)


def rank_bars(outcomes: dict[str, Outcomes]) -> Markup:
    """Draw the shares of cases by the rank of the known answer, one bar per system."""
    systems = in_order(outcomes)
    width, left, row_height = 640, 106, 34
    shapes = []
    for row, system in enumerate(systems):
        y = row_height * row + 4
        shapes += _row_label(left - 12, y + 13, system)
        x = float(left)
        for bucket, share in enumerate(rank_shares(outcomes[system])):
            size = share * (width - left - 2)
            hint = f"{system_title(system)}, {RANK_BUCKETS[bucket][0]}: {share:.1%}"
            shapes.append(rectangle(x, y, size - 1.5, 26, f"bucket b{bucket}", hint))
            if size > 34:
                shapes.append(text(x + size / 2, y + 17, f"{share:.0%}", f"on-b{bucket}", "middle"))
            x += size
    description = "Shares of cases by the rank of the known answer, one bar per system"
    return drawing(width, row_height * len(systems), description, shapes)


def rank_shares(outcome: Outcomes) -> list[float]:
    """Return the share of the cases in each of `RANK_BUCKETS`."""
    edges = np.array([highest for _, highest in RANK_BUCKETS])
    bucket = np.searchsorted(edges, outcome.rank)
    counts = np.bincount(bucket, minlength=len(edges))
    return [float(count) / len(outcome.rank) for count in counts]


def reliability_plot(system: str, outcome: Outcomes, bins: int, style: str) -> Markup:
    """Draw accuracy against confidence of the first answer, with the cases per bin below.

    `style` is the system's `colour_class`.
    """
    filled_bins = reliability(outcome, bins)
    size, left, top, strip = 190, 40, 8, 34
    bottom = top + size

    def x(share: float) -> float:
        return left + share * size

    def y(share: float) -> float:
        return bottom - share * size

    shapes = [rectangle(left, top, size, size, "frame"), line(x(0), y(0), x(1), y(1), "ideal")]
    for share in (0.0, 0.5, 1.0):
        shapes.append(text(left - 6, y(share) + 4, f"{share:.0%}", "tick", "end"))
        shapes.append(text(x(share), bottom + strip + 20, f"{share:.0%}", "tick", "middle"))
    shapes += _reliability_marks(filled_bins, x, y, style)
    most = max(item.n for item in filled_bins)
    for item in filled_bins:
        edge = min(int(item.confidence * bins), bins - 1) / bins
        height = strip * item.n / most
        hint = f"{item.n:,} cases"
        shapes.append(
            rectangle(
                x(edge) + 1,
                bottom + 4 + strip - height,
                size / bins - 2,
                height,
                f"column {style}",
                hint,
            )
        )
    shapes.append(text(x(0.5), bottom + strip + 36, "confidence", "tick", "middle"))
    title = f"Accuracy against confidence of {system_title(system)}"
    return drawing(left + size + 16, bottom + strip + 42, title, shapes)


def _reliability_marks(
    filled_bins: Sequence[ReliabilityBin],
    x: Callable[[float], float],
    y: Callable[[float], float],
    style: str,
) -> list[str]:
    shapes = []
    for a, b in pairwise(filled_bins):
        shapes.append(
            line(x(a.confidence), y(a.accuracy), x(b.confidence), y(b.accuracy), f"path {style}")
        )
    for item in filled_bins:
        hint = f"confidence {item.confidence:.2f}, accuracy {item.accuracy:.2f}, {item.n:,} cases"
        shapes.append(circle(x(item.confidence), y(item.accuracy), 4.5, f"dot {style}", hint))
    return shapes
