"""Plots of a comparison: forest of paired differences, accuracy against cost."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from mint_ray.evaluation.comparison import Differences
from mint_ray.evaluation.results import METRICS, MetricValue
from mint_ray.evaluation.systems import system_title
from mint_ray.reports.axes import Scale, is_number, tick_labels, ticks
from mint_ray.reports.comparison.table import difference_text, interval_of
from mint_ray.reports.evaluation.charts import colour_class
from mint_ray.reports.evaluation.report import format_difference
from mint_ray.reports.evaluation.table import cell_text
from mint_ray.reports.svg import circle, drawing, line, text

_WIDTH, _LEFT, _RIGHT, _ROW = 420, 150, 64, 26
_COST_WIDTH, _COST_HEIGHT, _COST_LEFT, _COST_TOP, _COST_BOTTOM = 380, 250, 44, 12, 40


def forest_plot(differences: Differences, metric: str, reference: str) -> Markup:
    """Draw the paired difference of each system less the reference with its 95 % interval.

    Args:
        differences: by system; one without a value has an empty row.
        metric: of the differences.
        reference: system at zero.
    """
    share = METRICS[metric].is_share
    factor = 100.0 if share else 1.0
    values = {name: strata["all"].metrics.get(metric) for name, strata in differences.items()}
    intervals = {name: interval_of(value) for name, value in values.items()}
    ends = [factor * end for interval in intervals.values() if interval for end in interval]
    marks = ticks(min(ends, default=0.0), max(ends, default=0.0))
    across = Scale(marks[0], marks[-1], _LEFT, _WIDTH - _RIGHT)
    bottom = 8 + _ROW * len(intervals)
    shapes = []
    for mark, label in zip(marks, tick_labels(marks), strict=True):
        shapes.append(line(across.at(mark), 4, across.at(mark), bottom, "grid"))
        shapes.append(text(across.at(mark), bottom + 16, label, "tick", "middle"))
    shapes.append(line(across.at(0), 4, across.at(0), bottom, "ideal"))
    for row, (name, interval) in enumerate(intervals.items()):
        y = 8 + _ROW * (row + 0.5)
        shapes.append(text(_LEFT - 10, y + 4, system_title(name), "label", "end"))
        if interval is None:
            continue
        style = colour_class(name, reference)
        low, middle, high = (across.at(factor * end) for end in interval)
        hint = f"{system_title(name)}: {difference_text(metric, values[name])}"
        shapes.append(line(low, y, high, y, f"whisker {style}"))
        shapes.append(circle(middle, y, 5, f"dot {style}", hint))
        shown = format_difference(metric, interval[1])
        shapes.append(text(_WIDTH - 2, y + 4, shown, "value", "end"))
    unit = "percentage points" if share else METRICS[metric].title
    shapes.append(text((_LEFT + _WIDTH - _RIGHT) / 2, bottom + 32, unit, "tick", "middle"))
    title = f"{METRICS[metric].title}: each system less {system_title(reference)}"
    return drawing(_WIDTH, bottom + 38, title, shapes)


def cost_plot(
    costs: Mapping[str, float | None],
    accuracies: Mapping[str, MetricValue],
    metric: str,
    reference: str,
    unit: str,
) -> Markup:
    """Draw one dot per system: its cost across, a share with its interval up.

    Args:
        costs: by system; one without a cost is left out.
        accuracies: by system.
        metric: of the accuracies, a share.
        reference: system with the colour of the student.
        unit: words below the axis.
    """
    points = [
        (name, cost, accuracies[name])
        for name, cost in costs.items()
        if is_number(cost) and name in accuracies and accuracies[name]["value"] is not None
    ]
    high = max((value["high"] or 0.0 for _, _, value in points), default=1.0)
    up_marks = ticks(0.0, 100 * high)
    marks = ticks(0.0, max((cost for _, cost, _ in points), default=1.0))
    bottom, right = _COST_HEIGHT - _COST_BOTTOM, _COST_WIDTH - 14
    across = Scale(marks[0], marks[-1], _COST_LEFT, right)
    up = Scale(up_marks[0], up_marks[-1], bottom, _COST_TOP)
    shapes = _axes(across, up, marks, up_marks)
    for name, cost, value in points:
        style, x = colour_class(name, reference), across.at(cost)
        ends = [
            100 * end for end in (value["low"], value["value"], value["high"]) if end is not None
        ]
        shapes.append(line(x, up.at(ends[0]), x, up.at(ends[-1]), f"whisker {style}"))
        hint = f"{system_title(name)}: {cost:,.0f} {unit}, {cell_text(metric, value)}"
        y = up.at(100 * (value["value"] or 0.0))
        shapes.append(circle(x, y, 5, f"dot {style}", hint))
        left_side = x > (_COST_LEFT + right) / 2
        shift, anchor = (-9, "end") if left_side else (9, "start")
        shapes.append(text(x + shift, y + 4, system_title(name), "tick", anchor))
    shapes.append(text((_COST_LEFT + right) / 2, _COST_HEIGHT - 6, unit, "tick", "middle"))
    title = f"{METRICS[metric].title} against {unit}, one dot per system"
    return drawing(_COST_WIDTH, _COST_HEIGHT, title, shapes)


def _axes(across: Scale, up: Scale, marks: Sequence[float], up_marks: Sequence[float]) -> list[str]:
    shapes = []
    for mark, label in zip(up_marks, tick_labels(up_marks), strict=True):
        shapes.append(line(across.start, up.at(mark), across.end, up.at(mark), "grid"))
        shapes.append(text(across.start - 6, up.at(mark) + 4, f"{label}%", "tick", "end"))
    for mark, label in zip(marks, tick_labels(marks), strict=True):
        shapes.append(text(across.at(mark), up.start + 16, label, "tick", "middle"))
    return shapes
