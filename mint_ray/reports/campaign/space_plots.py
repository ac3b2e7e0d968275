"""Plots of a campaign's settings: lines through all of them, two of them, what they weigh."""

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
    """One line per trial through its settings to the last metric that it reached."""
    space = results.config.tune.space
    top, bottom, gap = 34, 250, 130
    trials = measured(results)
    values = [metric_of(results, one) or 0.0 for one in trials]
    goal = Scale(min(values, default=0.0), max(values, default=1.0), bottom, top)
    shapes = []
    for place, (name, dimension) in enumerate(space.items()):
        x = 60 + gap * place
        own = [one.trial.choices[name] for one in trials]
        shapes += _axis(x, name.rpartition(".")[2], _levels(dimension, own), dimension, top, bottom)
    x = 60 + gap * len(space)
    shapes.append(line(x, top, x, bottom, "grid"))
    shapes.append(text(x, top - 18, MEASURES[results.measure].title, "label", "middle"))
    for value in dict.fromkeys([goal.low, goal.high]):
        shapes.append(text(x + 9, goal.at(value) + 4, f"{value:.3f}", "tick"))
    for one, value in zip(trials, values, strict=True):
        points = []
        for place, (name, dimension) in enumerate(space.items()):
            own = [other.trial.choices[name] for other in trials]
            levels = _levels(dimension, own)
            y = _place(dimension, levels, one.trial.choices[name], top, bottom)
            points.append((60 + gap * place, y))
        points.append((x, goal.at(value)))
        style = colour_of(results, one)
        strong = " strong" if style in (WINNER, DEFAULT) else ""
        shapes.append(polyline(points, f"curve trial{strong} {style}"))
        hint = hint_of(results, one)
        shapes += [circle(px, py, 4, f"dot {style}", hint) for px, py in points]
    return drawing(x + 70, bottom + 14, "Settings and metric of every trial", shapes)


def _levels(dimension: Dimension, own: Sequence[Value]) -> list[Value]:
    """Values of an axis; the config's own may lie outside the space."""
    ends = list(dimension.values if isinstance(dimension, Choice) else dimension.ends)
    if isinstance(dimension, Choice):
        found = list(dict.fromkeys([*ends, *own]))
        numbers = all(isinstance(value, int | float) for value in found)
        return sorted(found, key=float) if numbers else found
    numbers_found = [float(value) for value in (*ends, *own)]
    return [min(numbers_found), max(numbers_found)]


def _place(
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
        y = _place(dimension, levels, value, top, bottom)
        shapes.append(text(x - 9, y + 4, shown(value), "tick", "end"))
    return shapes


def heat_map(results: Results) -> Markup | None:
    """Mean metric at the first rung over two settings: λ and rank, or the first two.

    Ranges are cut into equal parts. None where fewer than two settings are searched.
    """
    space = results.config.tune.space
    wanted = [n for n in ("training.orpo_lambda", "student.lora_rank") if n in space]
    names = [*wanted, *(name for name in space if name not in wanted)][:2]
    if len(names) < 2:
        return None
    across, up = (_cuts(space[name]) for name in names)
    cells: dict[tuple[int, int], list[TrialResult]] = {}
    for one in measured(results):
        spot = tuple(_cell(space[name], one.trial.choices[name]) for name in names)
        if None not in spot:
            cells.setdefault(spot, []).append(one)  # type: ignore[arg-type]
    means = {spot: _mean_at_first_rung(results, trials) for spot, trials in cells.items()}
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
    hint = f"{len(trials)} trial(s): {', '.join(str(one.trial.number) for one in trials)}"
    on = "on-deep" if shade >= 8 else "on-pale"
    return [
        rectangle(x + 1, y + 1, width - 2, height - 2, f"cell s{shade}", hint),
        text(x + width / 2, y + height / 2 + 4, f"{mean:.3f} ({len(trials)})", on, "middle"),
    ]


def _mean_at_first_rung(results: Results, trials: Sequence[TrialResult]) -> float:
    values = [one.rungs[0].get(results.config.tune.metric, math.nan) for one in trials]
    return sum(values) / len(values)


def _cuts(dimension: Dimension) -> list[str]:
    """Labels of a heat map's rows or columns."""
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
    """Row or column of a value; None where it lies outside the space."""
    if isinstance(dimension, Choice):
        return dimension.values.index(value) if value in dimension.values else None
    number = float(value)
    if not dimension.low <= number <= dimension.high:
        return None
    scale = Scale(dimension.low, dimension.high, 0, _BINS, dimension.log)
    return min(_BINS - 1, int(scale.at(number)))


def importance_bars(results: Results) -> Markup:
    """Share of every setting in the variance of the metric."""
    found = sorted(results.importance.items(), key=lambda item: -item[1])
    shapes = []
    for row, (name, share) in enumerate(found):
        y = 30 * row + 4
        shapes.append(text(170, y + 15, name, "label", "end"))
        shapes.append(rectangle(180, y, max(1.0, 300 * share), 20, "bar c-teal"))
        shapes.append(text(186 + 300 * share, y + 15, f"{share:.0%}", "value"))
    return drawing(540, 30 * len(found) + 6, "Importance of every setting", shapes)
