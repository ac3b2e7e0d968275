"""Plots of a campaign's trials (learning curves, cost, steps), and the style of a trial."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from mint_ray.evaluation.results import METRICS as MEASURES
from mint_ray.reports.axes import Scale, is_number, tick_labels, ticks
from mint_ray.reports.evaluation.training_curves import Point, averaged
from mint_ray.reports.svg import circle, drawing, line, polyline, rectangle, text
from mint_ray.tuning.results import Results, TrialResult
from mint_ray.tuning.space import shown

WINNER, DEFAULT, FINISHED, STOPPED = "c-teal", "c-amber", "c-indigo", "c-grey"
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 340, 220, 48, 14, 10, 40


def colour_of(results: Results, result: TrialResult) -> str:
    """Return the style-sheet class of a trial, the same in every plot."""
    if result is results.winner:
        return WINNER
    if result.trial.is_default:
        return DEFAULT
    return FINISHED if result.trial.state == "finished" else STOPPED


def hint_of(results: Results, result: TrialResult) -> str:
    """Return the text that hovering over a trial shows."""
    chosen = ", ".join(f"{name} {shown(value)}" for name, value in result.trial.choices.items())
    value = result.last.get(results.config.tune.metric, math.nan)
    title = MEASURES[results.measure].title
    step = result.last.get("step", 0)
    return (
        f"trial {result.trial.number}, {result.trial.state} at step {step:.0f}: "
        f"{title} {value:.3f}; {chosen}"
    )


def measured(results: Results) -> list[TrialResult]:
    """Return trials that reached a rung, the winner last, so that it is drawn on top."""
    usable = [result for result in results.trials if metric_of(results, result) is not None]
    order = [STOPPED, FINISHED, DEFAULT, WINNER]
    return sorted(usable, key=lambda result: order.index(colour_of(results, result)))


def metric_of(results: Results, result: TrialResult) -> float | None:
    """Return the compared metric at the last rung that a trial reached; None without one."""
    value = result.last.get(results.config.tune.metric)
    return value if value is not None and math.isfinite(value) else None


def metric_curves(results: Results) -> Markup:
    """Draw the compared metric at every rung of every trial."""
    name = results.config.tune.metric
    lines = [
        (
            result,
            [Point(row["step"], row[name]) for row in result.rungs if is_number(row.get(name))],
        )
        for result in measured(results)
    ]
    return _curves(results, lines, MEASURES[results.measure].title, dots=True)


def loss_curves(results: Results) -> Markup:
    """Draw the training loss of every trial; the steps of long runs are averaged."""
    lines = []
    for result in measured(results):
        per_epoch = next((row["epoch"] / row["step"] for row in result.curve), 1.0)
        points = averaged(result.curve, "loss")
        lines.append((result, [Point(point.epoch / per_epoch, point.value) for point in points]))
    return _curves(results, lines, "Training loss", dots=False)


def _curves(
    results: Results, lines: Sequence[tuple[TrialResult, list[Point]]], title: str, dots: bool
) -> Markup:
    values = [point.value for _, points in lines for point in points]
    steps = max((point.epoch for _, points in lines for point in points), default=1.0)
    marks = ticks(min(values, default=0.0), max(values, default=1.0))
    across = Scale(0, steps, _LEFT, _WIDTH - _RIGHT)
    up = Scale(marks[0], marks[-1], _HEIGHT - _BOTTOM, _TOP)
    shapes = _frame(across, up, marks, "optimizer step")
    for result, points in lines:
        style = colour_of(results, result)
        strong = " strong" if style in (WINNER, DEFAULT) else ""
        positions = [(across.at(point.epoch), up.at(point.value)) for point in points]
        shapes.append(polyline(positions, f"curve trial{strong} {style}"))
        if dots:
            hint = hint_of(results, result)
            shapes += [circle(x, y, 3.5, f"dot {style}", hint) for x, y in positions]
    return drawing(_WIDTH, _HEIGHT, f"{title} by optimizer step, one line per trial", shapes)


def cost_against_quality(results: Results) -> Markup:
    """Draw one dot per trial: its cost across, the metric at its last rung up."""
    trials = measured(results)
    values = [metric_of(results, result) or 0.0 for result in trials]
    marks = ticks(min(values, default=0.0), max(values, default=1.0))
    costs = ticks(0.0, max((result.cost for result in trials), default=1.0))
    across = Scale(0, costs[-1], _LEFT, _WIDTH - _RIGHT)
    up = Scale(marks[0], marks[-1], _HEIGHT - _BOTTOM, _TOP)
    shapes = _frame(across, up, marks, results.cost_unit)
    for result, value in zip(trials, values, strict=True):
        hollow = "" if result.trial.state == "finished" else " hollow"
        ring = " pareto" if result.trial.number in results.pareto else ""
        style = f"dot{hollow}{ring} {colour_of(results, result)}"
        hint = f"{hint_of(results, result)}; {result.cost:.0f} {results.cost_unit}"
        shapes.append(circle(across.at(result.cost), up.at(value), 5, style, hint))
    return drawing(_WIDTH, _HEIGHT, "Cost against quality, one dot per trial", shapes)


def pareto_plot(results: Results) -> Markup:
    """Draw finished trials, MRR across and negative log-likelihood up; the front is ringed."""
    trials = [result for result in measured(results) if result.trial.state == "finished"]
    pairs = [(result, result.final("mrr") or 0.0, result.final("nll") or 0.0) for result in trials]
    qualities = [x for _, x, _ in pairs]
    right = ticks(min(qualities, default=0.0), max(qualities, default=1.0))
    marks = ticks(0.0, max((y for _, _, y in pairs), default=1.0))
    across = Scale(right[0], right[-1], _LEFT, _WIDTH - _RIGHT)
    up = Scale(marks[0], marks[-1], _HEIGHT - _BOTTOM, _TOP)
    shapes = _frame(across, up, marks, "MRR, higher is better")
    for result, x, y in pairs:
        ring = " pareto" if result.trial.number in results.pareto else ""
        hint = f"{hint_of(results, result)}; NLL {y:.2f}, ECE {result.final('ece') or 0.0:.3f}"
        shapes.append(
            circle(across.at(x), up.at(y), 5, f"dot{ring} {colour_of(results, result)}", hint)
        )
    return drawing(_WIDTH, _HEIGHT, "NLL against MRR of the finished trials", shapes)


def step_bars(results: Results) -> Markup:
    """Draw one bar per trial: optimizer steps taken of those planned."""
    most = max((result.planned for result in results.trials), default=1) or 1
    shapes = []
    for row, result in enumerate(results.trials):
        y, style = 22 * row + 2, colour_of(results, result)
        shapes.append(text(64, y + 13, f"trial {result.trial.number}", "tick", "end"))
        shapes.append(rectangle(72, y, 460 * result.planned / most, 16, "rest"))
        reached = result.curve[-1]["step"] if result.curve else 0.0
        hint = hint_of(results, result)
        shapes.append(rectangle(72, y, 460 * reached / most, 16, f"bar {style}", hint))
        shapes.append(text(540, y + 13, f"{reached:.0f} / {result.planned}", "tick"))
    return drawing(620, 22 * len(results.trials) + 4, "Optimizer steps of every trial", shapes)


def _frame(across: Scale, up: Scale, marks: Sequence[float], title: str) -> list[str]:
    shapes = []
    for value, label in zip(marks, tick_labels(marks), strict=True):
        shapes.append(line(_LEFT, up.at(value), _WIDTH - _RIGHT, up.at(value), "grid"))
        shapes.append(text(_LEFT - 8, up.at(value) + 4, label, "tick", "end"))
    inside = [
        value for value in ticks(across.low, across.high) if across.low <= value <= across.high
    ]
    for value, label in zip(inside, tick_labels(inside), strict=True):
        shapes.append(text(across.at(value), _HEIGHT - _BOTTOM + 16, label, "tick", "middle"))
    shapes.append(text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, title, "tick", "middle"))
    return shapes
