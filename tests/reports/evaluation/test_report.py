import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest

from mint_ray.evaluation.metrics.compute import compare, evaluate
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes
from mint_ray.evaluation.results import format_value
from mint_ray.reports.evaluation.examples import choose_examples
from mint_ray.reports.evaluation.report import (
    LineageStep,
    ReportContext,
    best_systems,
    format_difference,
    headline,
    render_report,
    write_report,
)

NASTY = "<img src=x onerror=alert(1)>&{{ 7 * 7 }}"
TRAINING = [
    {"step": step, "epoch": step / 2, "loss": 1 / step, "rewards/accuracies": 0.5}
    for step in (1, 2, 3, 4)
]
VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Collects tags and attributes, and checks that every tag is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def context(
    predictions: pa.Table, cases: EvaluatedCases, outcomes: dict[str, Outcomes]
) -> ReportContext:
    names = {"OMIM:1": "Alpha syndrome", "OMIM:2": "Gamma syndrome", "OMIM:3": "Delta dysplasia"}
    return ReportContext(
        run_name="demo",
        created="2025-01-01 12:00 UTC",
        metrics=evaluate(outcomes, cases, bins=10, samples=100, seed=0),
        outcomes=outcomes,
        groups=3,
        bins=10,
        samples=100,
        student="orpo",
        differences=compare(outcomes, cases, "teacher", "orpo", samples=100, seed=0),
        examples=choose_examples(predictions, cases, outcomes, names, student="orpo", count=4),
        training=TRAINING,
        splits={"train": {"cases": 10, "groups": 6}, "test": {"cases": 4, "groups": 3}},
        rejected={"no_observed_features": 2},
        notes_shortened=1,
        lineage=[LineageStep("cases", "cases-1a2b3c4d", ["in"], 16, 14, 2, 3.2)],
        teacher_revision="abc123",
        config="name: demo\n",
        versions={"mint_ray": "0.1.0"},
        commit="0123456789abcdef",
        warnings=["Faces are drawings."],
    )


def test_page_is_well_formed_and_has_every_part(context: ReportContext) -> None:
    html = render_report(context)
    page = Page(html)
    assert page.open == []
    for word in (
        "research use only",
        "not a medical device",
        "demo",
        "commit <code>0123456789ab</code>",
        "Faces are drawings.",
        "no_observed_features",
        "cases-1a2b3c4d",
        "abc123",
        "n = 4",
        "Gamma syndrome",
    ):
        assert word in html, word
    assert html.count("<svg") == 4 + 1 + 2 + 2 + 2


def test_means_over_groups_stand_first(context: ReportContext) -> None:
    html = render_report(context)
    columns = re.findall(r'<th scope="col">([^<]*)</th>', html)
    assert columns[1:5] == [
        "Top-1, macro % ↑",
        "Top-3, macro % ↑",
        "Top-10, macro % ↑",
        "Top-1 % ↑",
    ]
    value = context.metrics["orpo"]["all"]["top1_macro"]["value"]
    assert f"ORPO student, top‑1, macro<strong>{format_value('top1', value)}%" in html
    drawn = html[html.index('id="strata"') : html.index('id="calibration"')]
    titles = re.findall("<figcaption>([^<]*)</figcaption>", drawn)
    assert titles == ["Top-1, macro", "Top-10, macro"]


def test_figures_from_before_means_over_groups_are_shown(context: ReportContext) -> None:
    metrics = {
        system: {
            stratum: {name: v for name, v in named.items() if not name.endswith("_macro")}
            for stratum, named in by_stratum.items()
        }
        for system, by_stratum in context.metrics.items()
    }
    html = render_report(dataclasses.replace(context, metrics=metrics, differences=()))
    assert "ORPO student, top‑1<strong>" in html
    assert "macro" not in html


def test_page_is_self_contained(context: ReportContext) -> None:
    page = Page(render_report(context))
    assert {"script", "link", "iframe", "img", "object"}.isdisjoint(page.tags)
    links = [value for name, value in page.attributes if name in ("href", "src", "action")]
    assert links
    assert all(value and value.startswith("#") for value in links)
    assert not re.search(r"url\(|@import|https?:", render_report(context))


def test_links_lead_somewhere(context: ReportContext) -> None:
    page = Page(render_report(context))
    ids = {value for name, value in page.attributes if name == "id"}
    assert {value[1:] for name, value in page.attributes if name == "href" and value} == ids


def test_everything_from_outside_is_escaped(context: ReportContext) -> None:
    example = dataclasses.replace(context.examples[0], case_id=NASTY, known_name=NASTY)
    nasty = dataclasses.replace(
        context,
        run_name=NASTY,
        warnings=[NASTY],
        examples=[example],
        config=NASTY,
        rejected={NASTY: 1},
        metrics={NASTY: context.metrics["orpo"]},
        outcomes={NASTY: context.outcomes["orpo"]},
        lineage=[LineageStep(NASTY, NASTY, [NASTY])],
        versions={NASTY: NASTY},
        data_facts={NASTY: NASTY},
    )
    html = render_report(nasty)
    page = Page(html)
    assert "img" not in page.tags
    assert "onerror" not in dict(page.attributes)
    assert "{{ 7 * 7 }}" in html


def test_least_context_renders(context: ReportContext) -> None:
    least = ReportContext("bare", "now", context.metrics, context.outcomes, 3, 10, 100, "orpo")
    html = render_report(least)
    assert Page(html).open == []
    assert 'id="examples"' not in html
    assert 'id="training"' not in html


def test_the_released_run_is_shown_beside_its_own_objective(context: ReportContext) -> None:
    assert "arXiv 2505.05736" in render_report(context)
    other = render_report(dataclasses.replace(context, student="sft"))
    assert 'id="training"' in other
    assert "released run" not in other


def test_without_unseen_cases_there_is_no_such_plot(context: ReportContext) -> None:
    metrics = {
        system: {**strata, "unseen": {"top1": {"value": None, "low": None, "high": None, "n": 0}}}
        for system, strata in context.metrics.items()
    }
    html = render_report(dataclasses.replace(context, metrics=metrics))
    assert 'id="strata"' not in html
    assert 'href="#strata"' not in html
    assert "Diseases not seen in training" not in html  # nor a table without a figure


def test_headline_compares_with_base_and_teacher() -> None:
    def system(value: float) -> dict:
        return {"all": {"top1": {"value": value, "low": 0.0, "high": 1.0, "n": 300}}}

    metrics = {"orpo": system(0.4), "base": system(0.1), "teacher": system(0.5)}
    assert headline(metrics, "orpo") == (
        "Over 300 held-out cases the student names the known answer first in 40.0%, "
        "4.0 times as often as its base model (10.0%), reaching 80% of its teacher’s 50.0%."
    )
    named = {"orpo_cft" if name == "orpo" else name: value for name, value in metrics.items()}
    assert headline(named, "orpo_cft") == headline(metrics, "orpo")
    metrics["base"] = system(0.0)
    assert "base model" not in headline(metrics, "orpo")
    assert headline({"teacher": system(0.5)}, "orpo") == ""


def test_the_page_is_about_its_student(context: ReportContext) -> None:
    marked = r'class="student"><th scope="row"><span class="key c-teal"></span>([^<]+)'
    assert set(re.findall(marked, render_report(context))) == {"ORPO student"}
    dpo = dataclasses.replace(
        context,
        student="dpo",
        metrics={**context.metrics, "dpo": context.metrics["orpo"]},
        outcomes={**context.outcomes, "dpo": context.outcomes["orpo"]},
    )
    assert set(re.findall(marked, render_report(dpo))) == {"DPO student"}


def test_best_is_chosen_among_systems_on_the_same_cases() -> None:
    def system(value: float, n: int) -> dict:
        return {"all": {"nll": {"value": value, "low": 0.0, "high": 9.0, "n": n}}}

    metrics = {"base": system(3.0, 300), "orpo": system(2.0, 300), "teacher": system(1.0, 20)}
    assert best_systems(metrics, "all", "nll") == {"orpo"}
    assert best_systems({"base": system(3.0, 300)}, "all", "nll") == set()


def test_differences_are_signed() -> None:
    assert format_difference("top1", 0.125) == "+12.5"
    assert format_difference("mrr", -0.25) == "−0.250"


def test_report_appears_whole(tmp_path: Path, context: ReportContext) -> None:
    write_report(tmp_path / "out" / "report.html", context)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["report.html"]
    assert (tmp_path / "out" / "report.html").read_text().rstrip().endswith("</html>")
