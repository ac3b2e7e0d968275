"""The page of a comparison: figures as they were measured, every tag closed, nothing unescaped."""

import copy
import dataclasses
import re

import pytest

from mint_ray.config.evaluation import SystemConfig
from mint_ray.evaluation.comparison import SystemCost, paired_differences
from mint_ray.evaluation.learning_rates import RateChoice, Trial
from mint_ray.evaluation.measurement import Measurement
from mint_ray.evaluation.metrics.compute import evaluate
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes
from mint_ray.reports.comparison.plots import cost_plot, forest_plot
from mint_ray.reports.comparison.report import ComparisonReport, render_report
from mint_ray.reports.comparison.table import difference_lines
from mint_ray.reports.comparison.watched import line_styles
from mint_ray.reports.evaluation.table import plain_table
from tests.reports.evaluation.test_report import NASTY, Page


@pytest.fixture
def report(cases: EvaluatedCases, outcomes: dict[str, Outcomes]) -> ComparisonReport:
    metrics = evaluate(outcomes, cases, bins=10, samples=100, seed=0)
    measurement = Measurement(cases, outcomes, metrics)
    return ComparisonReport(
        run_name="demo",
        created="2026-01-01 12:00 UTC",
        measurement=measurement,
        groups=3,
        reference="orpo",
        differences=paired_differences(outcomes, cases, "orpo", samples=100, seed=0),
        costs={
            "orpo": SystemCost(60, 54321.0, 720.0, 31.0),
            "teacher": SystemCost(1, None, 2.0, None),
        },
        systems={
            "orpo": SystemConfig(),
            "half": SystemConfig(compared=False),
            "dpo": SystemConfig.model_validate(
                {"overrides": {"training.dpo_beta": 0.2}, "start_from": "orpo"}
            ),
        },
        tested="test split, seed 0",
        bins=10,
        samples=100,
        versions={"mint_ray": "0.1.0"},
    )


def test_the_page_shows_tables_plots_and_costs(report: ComparisonReport) -> None:
    html = render_report(report)
    page = Page(html)
    assert page.open == []
    assert "<script" not in html
    assert html.startswith("<!doctype html>")
    for section in ("comparison", "differences", "calibration", "cost", "systems", "definitions"):
        assert f'id="{section}"' in html
    assert "+50.0" in html  # the teacher's top-1 less the reference's
    assert "2 : 0" in html
    assert "from orpo, training.dpo_beta=0.2" in html
    assert "<code>not compared</code>" in html
    assert "Top-1, macro: each system less ORPO student" in html
    assert "Accuracy against confidence of Teacher" in html
    costs = re.findall(r'class="number">([^<]*)</td>', html[html.index('id="cost"') :])
    assert costs[:4] == ["60", "54,321", "720", "31"]
    assert costs[5:9] == ["1", "–", "2", "–"]


def test_systems_that_only_rank_are_named(report: ComparisonReport) -> None:
    assert "Ranks only" not in render_report(report)
    metrics = copy.deepcopy(report.metrics)
    for by_metric in metrics["teacher"].values():
        for name in [name for name in by_metric if name.startswith(("nll", "brier", "ece"))]:
            del by_metric[name]
    measurement = dataclasses.replace(report.measurement, metrics=metrics)
    html = render_report(dataclasses.replace(report, measurement=measurement))
    assert "Ranks only: Teacher answer with a list" in html
    assert "Teacher <small>ranks only</small>" in html
    table = plain_table(metrics)
    assert "Teacher (ranks only)" in table
    assert "ORPO student (" not in table


def test_contrasts_are_printed_behind_the_differences(report: ComparisonReport) -> None:
    gaps = {"top1_macro": {"value": 0.25, "low": 0.05, "high": 0.4, "n": 3}}
    contrast = {"weights": {"a": 0.5, "a_2": 0.5, "b": -1.0}, "strata": {"all": gaps}}
    comparison = {"reference": "orpo", "differences": {}, "contrasts": {"claim": contrast}}
    *_, line = difference_lines(comparison)
    assert line == "claim, 0.5 a + 0.5 a_2 − b: Top-1, macro +25.0 [+5.0, +40.0]"


def test_what_was_watched_has_a_line_for_each_system(report: ComparisonReport) -> None:
    assert 'id="training"' not in render_report(report)
    rows = [
        {"step": step, "tokens": 1000 * step, "top1": 0.1, "ece": 0.2, "confidence": share}
        | {"entropy": 3 * (1 - share)}
        for step, share in ((0, 0.25), (10, 0.5), (20, 1.0))
    ]
    names = ["orpo", *(f"s{number}" for number in range(8))]
    html = render_report(dataclasses.replace(report, watched=dict.fromkeys(names, rows)))
    assert Page(html).open == []
    part = html[html.index('id="training"') : html.index('id="cost"')]
    assert part.count("<polyline") == 4 * len(names)
    assert "ORPO student, step 20: 1" in part
    assert len(set(line_styles(names, "orpo").values())) == len(names)
    first = re.search(r'<polyline points="([^"]*)" class="curve c-teal"', part)
    assert first is not None
    heights = [float(point.split(",")[1]) for point in first.group(1).split()]
    assert heights == sorted(heights, reverse=True)  # confidence, the first panel, rises


def test_chosen_learning_rates_are_shown_with_their_trials(report: ComparisonReport) -> None:
    assert 'id="rates"' not in render_report(report)
    value = {"value": 0.25, "low": 0.125, "high": 0.5, "n": 12}
    tried = (Trial(1e-4, value), Trial(3e-4, value | {"value": None, "low": None, "high": None}))
    choice = RateChoice(1e-4, "mrr_macro", 40, tried)
    html = render_report(dataclasses.replace(report, rates={"orpo": choice}))
    assert Page(html).open == []
    part = html[html.index('id="rates"') : html.index('id="systems"')]
    assert "<b>0.0001: 0.250</b> <small>0.125–0.500</small>; 0.0003: –" in part
    assert " <small>40 cases</small>" in part


def test_names_from_outside_are_escaped(report: ComparisonReport) -> None:
    html = render_report(dataclasses.replace(report, run_name=NASTY, tested=NASTY))
    assert "<img" not in html
    assert "&lt;img" in html


def test_a_forest_has_a_row_for_each_system_in_its_place(report: ComparisonReport) -> None:
    svg = str(forest_plot(report.differences, "top1", "orpo"))
    assert "Teacher: +50.0 [" in svg
    zero = re.search(r'<line x1="([\d.]+)" [^>]*class="ideal"', svg)
    dot = re.search(r'<circle cx="([\d.]+)"', svg)
    assert zero is not None
    assert dot is not None
    assert float(dot.group(1)) > float(zero.group(1))


def test_a_system_without_a_cost_is_left_out(report: ComparisonReport) -> None:
    accuracies = {name: report.metrics[name]["all"]["top1"] for name in report.metrics}
    costs = {name: cost.ranking_seconds for name, cost in report.costs.items()}
    svg = str(cost_plot(costs, accuracies, "top1", "orpo", "ranking seconds"))
    assert "ORPO student: 31 ranking seconds, 25.0" in svg
    assert "Teacher" not in svg


def test_lines_of_differences_name_system_value_and_p() -> None:
    value = {"value": 0.5, "low": 0.0, "high": 1.0, "n": 4}
    comparison = {
        "reference": "orpo",
        "differences": {
            "teacher": {"all": {"metrics": {"top1": value}, "mcnemar": {"p_value": 0.5}}}
        },
    }
    first, second = difference_lines(comparison)
    assert first == "paired differences to ORPO student:"
    assert second.split() == [
        "Teacher",
        "Top-1",
        "+50.0",
        "[+0.0,",
        "+100.0]",
        "McNemar",
        "p",
        "0.5",
    ]
