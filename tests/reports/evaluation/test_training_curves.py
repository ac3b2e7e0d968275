"""Training curves: which panels there are, what a point averages, and where marks stand."""

import math
import xml.etree.ElementTree as ElementTree

import pytest

from mint_ray.reports.axes import tick_labels, ticks
from mint_ray.reports.evaluation.training_curves import (
    MOST_POINTS,
    Point,
    averaged,
    steps_per_point,
    training_curves,
)

METRICS = ("loss", "nll_loss", "log_odds_ratio", "rewards/accuracies", "logps/rejected")
TITLES = ["Loss", "Log odds ratio term", "Reward accuracy", "Log-probability, rejected"]


def steps(n: int, epochs: float = 1.0, metrics: tuple[str, ...] = METRICS) -> list[dict]:
    """Invented steps; every metric is minus or plus the step's share of the training."""
    return [
        {"step": i, "epoch": epochs * i / n}
        | {name: -i / n if name.startswith("log") else i / n for name in metrics}
        for i in range(1, n + 1)
    ]


def shapes(svg: str, tag: str) -> list[dict[str, str]]:
    return [element.attrib for element in ElementTree.fromstring(svg).iter(tag)]


def test_every_metric_has_its_panel() -> None:
    found = training_curves(steps(4))
    assert [title for title, _ in found.panels] == TITLES
    assert (found.steps, found.epochs, found.steps_per_point) == (4, 1.0, 1)
    curves = [len(shapes(svg, "polyline")) for _, svg in found.panels]
    assert curves == [2, 1, 1, 1]


@pytest.mark.parametrize(
    ("missing", "title"),
    [
        ("log_odds_ratio", "Log odds ratio term"),
        ("rewards/accuracies", "Reward accuracy"),
        ("logps/rejected", "Log-probability, rejected"),
    ],
)
def test_a_missing_metric_has_neither_panel_nor_note(missing: str, title: str) -> None:
    found = training_curves(steps(4, metrics=tuple(name for name in METRICS if name != missing)))
    assert [name for name, _ in found.panels] == [name for name in TITLES if name != title]
    assert not any(note.startswith(title) for note in found.notes)


def test_without_the_likelihood_term_nothing_is_dashed() -> None:
    found = training_curves(steps(4, metrics=("loss",)))
    assert [len(shapes(svg, "polyline")) for _, svg in found.panels] == [1]
    assert found.notes == []


def test_without_steps_there_is_nothing() -> None:
    assert training_curves([], "orpo").panels == []


def test_a_point_is_the_mean_of_its_steps() -> None:
    rows = [{"epoch": float(i), "loss": float(i * i)} for i in range(2 * MOST_POINTS + 1)]
    found = averaged(rows[::-1], "loss")
    assert steps_per_point(len(rows)) == 3
    assert found[0] == Point(1.0, (0 + 1 + 4) / 3)
    assert found[1] == Point(4.0, (9 + 16 + 25) / 3)
    assert found[-1] == Point(120.0, 120.0**2)
    assert len(found) == 41


@pytest.mark.parametrize("n", [1, 59, 60, 61, 120, 10_000])
def test_a_curve_has_no_more_than_the_most_points(n: int) -> None:
    points = averaged(steps(n), "loss")
    assert len(points) <= MOST_POINTS
    assert len(points) == n or steps_per_point(n) > 1


def test_numbers_that_are_none_are_left_out() -> None:
    rows = [{"epoch": 1.0, "loss": math.nan}, {"epoch": 2.0, "loss": 3.0}, {"loss": 1.0}]
    assert averaged(rows, "loss") == [Point(2.0, 3.0)]


@pytest.mark.parametrize(("epochs", "marks"), [(0.02, 1), (0.97, 2), (2.0, 2), (30.0, 5)])
def test_the_released_run_stands_beside_orpo_as_far_as_it_went(epochs: float, marks: int) -> None:
    for _, svg in training_curves(steps(200, epochs), "orpo").panels:
        dots = shapes(svg, "circle")
        assert len(dots) == marks
        assert all("hollow" in dot["class"] for dot in dots)


@pytest.mark.parametrize("system", [None, "sft", "orpo_cft"])
def test_no_other_student_is_compared_with_it(system: str | None) -> None:
    assert not any(shapes(svg, "circle") for _, svg in training_curves(steps(9), system).panels)


def test_every_mark_lies_within_its_plot() -> None:
    for _, svg in training_curves(steps(100, 30.0), "orpo").panels:
        grid = [float(found["y1"]) for found in shapes(svg, "line")]
        assert all(min(grid) <= float(dot["cy"]) <= max(grid) for dot in shapes(svg, "circle"))
        for curve in shapes(svg, "polyline"):
            heights = [float(point.split(",")[1]) for point in curve["points"].split()]
            assert min(grid) <= min(heights) <= max(heights) <= max(grid)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.02, 1.9, ["0.0", "0.5", "1.0", "1.5", "2.0"]),
        (-0.72, -0.1, ["−0.8", "−0.6", "−0.4", "−0.2", "0.0"]),
        (0.7, 1.0, ["0.00", "0.25", "0.50", "0.75", "1.00"]),
        (-310.0, -90.0, ["−400", "−300", "−200", "−100", "0"]),
        (0.0, 0.0, ["0.00", "0.25", "0.50", "0.75", "1.00"]),
    ],
)
def test_ticks_are_round_and_have_the_decimals_they_need(
    low: float, high: float, labels: list[str]
) -> None:
    assert tick_labels(ticks(low, high)) == labels
