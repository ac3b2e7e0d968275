"""Plots of a campaign's settings: parallel coordinates, a heat map and their importance."""

import math
from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from mint_ray.config.tune import Choice, Dimension, Value
from mint_ray.evaluation.results import METRICS as MEASURES
from mint_ray.reports.axes import Scale
from mint_ray.reports.campaign.trial_plots import (
    DEFAULT,
    WINNER,
    colour_of,
    hint_of,
    measured,
    metric_of,
)
from mint_ray.reports.svg import circle, drawing, line, polyline, rectangle, text
from mint_ray.tuning.results import Results, TrialResult
from mint_ray.tuning.space import shown

_BINS = 5  # of a range, in the heat map


def parallel_coordinates(results: Results) -> Markup:
    """Draw one line per trial, through its settings to the metric at its last rung."""
    space = results.config.tune.space
    top, bottom, gap = 34, 250, 130
    trials = measured(results)
    values = [metric_of(results, result) or 0.0 for result in trials]
    goal = Scale(min(values, default=0.0), max(values, default=1.0), bottom, top)
    shapes = []
    for column, (name, dimension) in enumerate(space.items()):
        x = 60 + gap * column
        tried = [result.trial.choices[name] for result in trials]
        levels = _levels(dimension, tried)
        shapes += _axis(x, name.rpartition(".")[2], levels, dimension, top, bottom)
    x = 60 + gap * len(space)
    shapes.append(line(x, top, x, bottom, "grid"))
    shapes.append(text(x, top - 18, MEASURES[results.measure].title, "label", "middle"))
    for value in dict.fromkeys([goal.low, goal.high]):
        shapes.append(text(x + 9, goal.at(value) + 4, f"{value:.3f}", "tick"))
    for result, value in zip(trials, values, strict=True):
        points = []
        for column, (name, dimension) in enumerate(space.items()):
            tried = [other.trial.choices[name] for other in trials]
            levels = _levels(dimension, tried)
            y = _position(dimension, levels, result.trial.choices[name], top, bottom)
            points.append((60 + gap * column, y))
        points.append((x, goal.at(value)))
        style = colour_of(results, result)
        strong = " strong" if style in (WINNER, DEFAULT) else ""
        shapes.append(polyline(points, f"curve trial{strong} {style}"))
        hint = hint_of(results, result)
        shapes += [circle(px, py, 4, f"dot {style}", hint) for px, py in points]
    return drawing(x + 70, bottom + 14, "Settings and metric of every trial", shapes)


def _levels(dimension: Dimension, tried: Sequence[Value]) -> list[Value]:
    """Return the levels of a choice, or the two ends of a range, with all tried values.

    The config's own value, which trial 0 takes, may lie outside the space.
    """
    if isinstance(dimension, Choice):
        levels = list(dict.fromkeys([*dimension.values, *tried]))
        are_numbers = all(isinstance(value, int | float) for value in levels)
        return sorted(levels, key=float) if are_numbers else levels
    numbers = [float(value) for value in (*dimension.ends, *tried)]
    return [min(numbers), max(numbers)]


def _position(
    dimension: Dimension, levels: Sequence[Value], value: Value, top: float, bottom: float
) -> float:
    if isinstance(dimension, Choice):
        return Scale(0, max(1, len(levels) - 1), bottom, top).at(levels.index(value))
    log = dimension.log and float(levels[0]) > 0
    return Scale(float(levels[0]), float(levels[1]), bottom, top, log).at(float(value))


def _axis(
    x: float,
    title: str,
    levels: Sequence[Value],
    dimension: Dimension,
    top: float,
    bottom: float,
) -> list[str]:
    shapes = [line(x, top, x, bottom, "grid"), text(x, top - 18, title, "label", "middle")]
    for value in levels:
        y = _position(dimension, levels, value, top, bottom)
        shapes.append(text(x - 9, y + 4, shown(value), "tick", "end"))
    return shapes


def heat_map(results: Results) -> Markup | None:
    """Draw the mean metric at the first rung over two settings: λ and rank, or the first two.

    Ranges are cut into `_BINS` equal parts. None if fewer than two settings are searched.
    """
    space = results.config.tune.space
    preferred = [n for n in ("training.orpo_lambda", "student.lora_rank") if n in space]
    names = [*preferred, *(name for name in space if name not in preferred)][:2]
    if len(names) < 2:
        return None
    across, up = (_bin_labels(space[name]) for name in names)
    cells: dict[tuple[int, int], list[TrialResult]] = {}
    for result in measured(results):
        cell = tuple(_cell(space[name], result.trial.choices[name]) for name in names)
        if None not in cell:
            cells.setdefault(cell, []).append(result)  # type: ignore[arg-type]
    means = {cell: _mean_at_first_rung(results, trials) for cell, trials in cells.items()}
    low, high = min(means.values(), default=0.0), max(means.values(), default=1.0)
    width, height, left, top = 84, 40, 84, 6
    bottom = top + height * len(up)
    shapes = [
        text(left + width * (i + 0.5), bottom + 18, label, "tick", "middle")
        for i, label in enumerate(across)
    ]
    for row, label in enumerate(up):
        y = bottom - height * (row + 1)
        shapes.append(text(left - 8, y + height / 2 + 4, label, "tick", "end"))
        for column in range(len(across)):
            x, trials = left + width * column, cells.get((column, row), [])
            shapes += _heat(x, y, width, height, trials, means.get((column, row)), (low, high))
    middle = left + width * len(across) / 2
    shapes.append(text(middle, bottom + 38, names[0], "label", "middle"))
    shapes.append(text(14, (top + bottom) / 2, names[1].rpartition(".")[2], "label", "middle", -90))
    title = f"Mean metric at the first rung by {names[0]} and {names[1]}"
    return drawing(left + width * len(across) + 8, bottom + 46, title, shapes)


def _heat(
    x: float,
    y: float,
    width: float,
    height: float,
    trials: Sequence[TrialResult],
    mean: float | None,
    ends: tuple[float, float],
) -> list[str]:
    if mean is None:
        return [rectangle(x + 1, y + 1, width - 2, height - 2, "cell s0", "not tried")]
    share = (mean - ends[0]) / (ends[1] - ends[0]) if ends[1] > ends[0] else 1.0
    shade = 1 + round(9 * share)
    hint = f"{len(trials)} trial(s): {', '.join(str(result.trial.number) for result in trials)}"
    on = "on-deep" if shade >= 8 else "on-pale"
    return [
        rectangle(x + 1, y + 1, width - 2, height - 2, f"cell s{shade}", hint),
        text(x + width / 2, y + height / 2 + 4, f"{mean:.3f} ({len(trials)})", on, "middle"),
    ]


def _mean_at_first_rung(results: Results, trials: Sequence[TrialResult]) -> float:
    values = [result.rungs[0].get(results.config.tune.metric, math.nan) for result in trials]
    return sum(values) / len(values)


def _bin_labels(dimension: Dimension) -> list[str]:
    """Return the labels of a heat map's rows or columns."""
    if isinstance(dimension, Choice):
        return [shown(value) for value in dimension.values]
    edges = [_edge(dimension, i) for i in range(_BINS + 1)]
    return [f"{a:.2g}–{b:.2g}" for a, b in pairwise(edges)]


def _edge(dimension: Dimension, number: int) -> float:
    assert not isinstance(dimension, Choice)
    share = number / _BINS
    if dimension.log:
        return float(dimension.low * (dimension.high / dimension.low) ** share)
    return float(dimension.low + share * (dimension.high - dimension.low))


def _cell(dimension: Dimension, value: Value) -> int | None:
    """Return the row or column of a value; None if it lies outside the space."""
    if isinstance(dimension, Choice):
        return dimension.values.index(value) if value in dimension.values else None
    number = float(value)
    if not dimension.low <= number <= dimension.high:
        return None
    scale = Scale(dimension.low, dimension.high, 0, _BINS, dimension.log)
    return min(_BINS - 1, int(scale.at(number)))


def importance_bars(results: Results) -> Markup:
    """Draw the share of each setting in the variance of the metric."""
    ranked = sorted(results.importance.items(), key=lambda item: -item[1])
    shapes = []
    for row, (name, share) in enumerate(ranked):
        y = 30 * row + 4
        shapes.append(text(170, y + 15, name, "label", "end"))
        shapes.append(rectangle(180, y, max(1.0, 300 * share), 20, "bar c-teal"))
        shapes.append(text(186 + 300 * share, y + 15, f"{share:.0%}", "value"))
    return drawing(540, 30 * len(ranked) + 6, "Importance of every setting", shapes)
