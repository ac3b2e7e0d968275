"""Plots of what was watched along trainings: a panel each metric, a line each system."""

from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from mint_ray.evaluation.metrics.validation import WATCHED
from mint_ray.evaluation.systems import system_title
from mint_ray.reports.axes import Scale, tick_labels, ticks
from mint_ray.reports.svg import circle, drawing, line, polyline, text

_TITLES = {
    "confidence": "Confidence of the first answer",
    "entropy": "Entropy of the answers, nats",
    "top1": "Top-1",
    "ece": "ECE",
}
_OTHERS = ("rose", "sky", "olive", "violet", "amber", "indigo", "grey")
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 300, 200, 44, 12, 8, 40


def line_styles(systems: Iterable[str], reference: str) -> dict[str, str]:
    """Return the style-sheet classes of each system's line; the reference has that of a student.

    Names of systems are free, so each line takes the next colour, and a dashed one once all are
    taken.
    """
    styles, others = {}, 0
    for system in systems:
        if system == reference:
            styles[system] = "c-teal"
            continue
        dashed = " dashed" if others // len(_OTHERS) % 2 else ""
        styles[system] = f"c-{_OTHERS[others % len(_OTHERS)]}{dashed}"
        others += 1
    return styles


def watched_plots(
    watched: Mapping[str, Sequence[Mapping[str, float]]], reference: str
) -> list[tuple[str, Markup]]:
    """Draw each metric of `WATCHED` against the tokens that a training has read.

    Args:
        watched: by system, rows with `step`, `tokens` and the metrics, in order of steps.
        reference: system with the colour of the student.

    Returns:
        Title and plot of each metric; nothing where nothing was watched.
    """
    if not any(watched.values()):
        return []
    styles = line_styles(watched, reference)
    return [(_TITLES[metric], _panel(watched, metric, styles)) for metric in WATCHED]


def _panel(
    watched: Mapping[str, Sequence[Mapping[str, float]]],
    metric: str,
    styles: Mapping[str, str],
) -> Markup:
    rows = [row for rows in watched.values() for row in rows]
    up_marks = ticks(0.0, max(row[metric] for row in rows))
    marks = ticks(0.0, max(row["tokens"] for row in rows) / 1000)
    bottom = _HEIGHT - _BOTTOM
    across = Scale(marks[0], marks[-1], _LEFT, _WIDTH - _RIGHT)
    up = Scale(up_marks[0], up_marks[-1], bottom, _TOP)
    shapes = []
    for mark, label in zip(up_marks, tick_labels(up_marks), strict=True):
        shapes.append(line(across.start, up.at(mark), across.end, up.at(mark), "grid"))
        shapes.append(text(across.start - 6, up.at(mark) + 4, label, "tick", "end"))
    for mark, label in zip(marks, tick_labels(marks), strict=True):
        shapes.append(text(across.at(mark), bottom + 16, label, "tick", "middle"))
    for system, points in watched.items():
        places = [(across.at(row["tokens"] / 1000), up.at(row[metric])) for row in points]
        shapes.append(polyline(places, f"curve {styles[system]}"))
        for row, (x, y) in zip(points, places, strict=True):
            hint = f"{system_title(system)}, step {row['step']:.0f}: {row[metric]:.3g}"
            shapes.append(circle(x, y, 2.5, f"dot {styles[system]}", hint))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    shapes.append(text(middle, _HEIGHT - 6, "thousand training tokens", "tick", "middle"))
    title = f"{_TITLES[metric]} against training tokens, one line per system"
    return drawing(_WIDTH, _HEIGHT, title, shapes)
