import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import pytest

from mint_ray.evaluation.metrics.compute import evaluate
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes
from mint_ray.evaluation.results import Metrics
from mint_ray.reports.evaluation import charts
from mint_ray.reports.svg import circle, drawing, text


@pytest.fixture
def metrics(outcomes: dict[str, Outcomes], cases: EvaluatedCases) -> Metrics:
    return evaluate(outcomes, cases, bins=10, samples=100, seed=0)


def dots(svg: str) -> list[dict[str, str]]:
    return [element.attrib for element in ElementTree.fromstring(svg).iter("circle")]


def test_shapes_escape_their_text() -> None:
    svg = drawing(1, 1, 'a "<b>"', [text(0, 0, "<script>"), circle(0, 0, 1, "dot", "x & y")])
    root = ElementTree.fromstring(svg)
    assert root.attrib["aria-label"] == 'a "<b>"'
    assert [element.text for element in root] == ["<script>", None]


def test_dots_stand_in_the_order_of_their_values(metrics: Metrics) -> None:
    orpo, teacher = dots(charts.metric_dots(metrics, "top1", "orpo"))
    assert float(orpo["cx"]) < float(teacher["cx"])
    assert "c-teal" in orpo["class"]
    assert "c-indigo" in teacher["class"]


def test_strata_are_filled_and_hollow(metrics: Metrics) -> None:
    plot = charts.stratum_dots(metrics, "top1", ("seen", "unseen"), "orpo")
    classes = [dot["class"] for dot in dots(plot)]
    assert [("hollow" in name) for name in classes] == [False, True, False, True]


def test_rank_shares_add_up(outcomes: dict[str, Outcomes]) -> None:
    assert charts.rank_shares(outcomes["orpo"]) == [0.25, 0.25, 0, 0, 0.5]
    ElementTree.fromstring(charts.rank_bars(outcomes))


def test_reliability_has_a_dot_per_bin(outcome_of: Callable[..., Outcomes]) -> None:
    outcome = outcome_of([0.1, 0.9, 1.0], [False, True, True])
    assert len(dots(charts.reliability_plot("orpo", outcome, 10, "c-teal"))) == 2


def test_every_system_has_a_colour() -> None:
    assert charts.colour_class("teacher", "orpo") == "c-indigo"
    assert charts.colour_class("base_generated", "orpo") == charts.colour_class("base", "orpo")
    others = {"c-rose", "c-sky", "c-olive", "c-violet"}
    assert charts.colour_class('x" onload="', "orpo") in others


def test_a_long_title_keeps_to_its_column(outcomes: dict[str, Outcomes]) -> None:
    named = dict.fromkeys(("orpo", "fused", "orpo_rcft_generated"), outcomes["orpo"])
    svg = ElementTree.fromstring(charts.rank_bars(named))
    labels = [element.text for element in svg.iter("text") if element.attrib["class"] == "label"]
    assert labels == ["ORPO student", "Student and", "look-ups", "ORPO + RCFT", "generated"]


@pytest.mark.parametrize("student", ["orpo", "dpo", "orpo_cft"])
def test_the_student_has_its_colour_whatever_it_was_trained_with(student: str) -> None:
    assert charts.colour_class(student, student) == "c-teal"
    assert charts.colour_class(f"{student}_generated", student) == "c-teal"
    assert charts.colour_class("sft", student) != "c-teal"
