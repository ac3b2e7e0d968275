"""What a report shows beside the rest where there are few answers, and the page of tiles."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mint_ray.evaluation.metrics.compute import evaluate
from mint_ray.reports.evaluation.examples import Example, ExampleAnswer
from mint_ray.reports.evaluation.per_class import report_classes
from mint_ray.reports.evaluation.report import ReportContext, render_report
from mint_ray.reports.evaluation.table import plain_table
from mint_ray.reports.evaluation.tiles_page import make_tiles, render_tiles, thumbnail, write_tiles
from tests.evaluation.few_answers import NAMES, draw
from tests.reports.evaluation.test_report import NASTY, Page

SYSTEMS = ("base", "orpo", "teacher", "mean_colour", "orpo_stain", "orpo_shuffled", "teacher_stain")


@pytest.fixture(scope="module")
def context() -> ReportContext:
    cases, _, _, _ = draw()
    outcomes = {name: draw(system=name)[1] for name in SYSTEMS}
    return ReportContext(
        run_name="tiles",
        created="2025-01-01 12:00 UTC",
        metrics=evaluate(outcomes, cases, bins=10, samples=100, seed=0, by_class=True),
        outcomes=outcomes,
        groups=40,
        bins=10,
        samples=100,
        student="orpo",
        classes=report_classes(outcomes, cases, NAMES, student="orpo", samples=100, seed=0),
        examples=[example("c1", "Breast", 1)],
        tiles_page="tiles.html",
    )


def example(case_id: str, known: str, rank: int) -> Example:
    answers = [
        ExampleAnswer(place, f"TISSUE:{place}", known if place == rank else "Other", 0.5, right)
        for place, right in ((1, rank == 1), (2, rank == 2))
    ]
    return Example(case_id, "TISSUE:x", known, {"orpo": tuple(answers), "teacher": ()})


def encoded(colours: int = 255) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, colours, (300, 400, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_page_has_the_parts_of_few_answers(context: ReportContext) -> None:
    html = render_report(context)
    page = Page(html)
    assert page.open == []
    ids = {value for name, value in page.attributes if name == "id"}
    assert {"tissues", "confusion", "controls", "calibration"} <= ids
    links = {value for name, value in page.attributes if name == "href" and value}
    assert links == {f"#{name}" for name in ids} | {"tiles.html"}
    assert "Ductus &lt;b&gt;" in html
    assert "Expected by chance" in html
    assert "Balanced" in html
    assert "Diseases" not in html


def test_controls_are_kept_out_of_the_headline(context: ReportContext) -> None:
    html = render_report(context)
    top = html[html.index('<ul class="figures"') : html.index("<nav")]
    assert "ORPO student" in top
    assert "shuffled" not in top
    assert "Mean colour" not in top
    comparison = html[html.index('id="comparison"') : html.index('id="accuracy"')]
    assert "ORPO student, images shuffled" in comparison


def test_the_table_has_the_columns_of_few_answers(context: ReportContext) -> None:
    header, *rows = plain_table(context.metrics).splitlines()[1:]
    assert "Balanced" in header
    assert "Macro-F1" in header
    assert [row.split("  ")[0] for row in rows] == [
        "Base model",
        "ORPO student",
        "Teacher",
        "ORPO student, images shuffled",
        "ORPO student, stain shifted",
        "Teacher, stain shifted",
        "Mean colour",
    ]


def test_names_from_outside_are_escaped_everywhere(context: ReportContext) -> None:
    assert context.classes is not None
    rows = [dataclasses.replace(context.classes.rows[0], name=NASTY, mistaken_for=(NASTY, 0.5))]
    confusion = dataclasses.replace(
        context.classes.confusions["orpo"], known=(NASTY,) * 4, answered=(NASTY,) * 4
    )
    classes = dataclasses.replace(context.classes, rows=rows, confusions={"orpo": confusion})
    page = Page(render_report(dataclasses.replace(context, classes=classes)))
    assert "img" not in page.tags
    assert "onerror" not in dict(page.attributes)


def test_tiles_show_images_names_and_bars() -> None:
    examples = [example("c1", "Breast", 1), example("c2", "Colon", 2), example("c3", "Liver", 2)]
    images = {"c1": encoded(), "c2": encoded(), "c3": b"damaged"}
    html = render_tiles(make_tiles(examples, images, "orpo"), "demo", "orpo")
    page = Page(html)
    assert page.open == []
    assert page.tags.count("img") == 2
    sources = [value or "" for name, value in page.attributes if name == "src"]
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert html.index("answer is right") < html.index("Breast") < html.index("answer is wrong")
    assert "width: 50.0%" in html
    assert "image cannot be used" in html
    assert "not logged to MLflow" in html
    assert {"script", "link", "iframe", "object"}.isdisjoint(page.tags)


def test_tiles_escape_names() -> None:
    html = render_tiles(make_tiles([example(NASTY, NASTY, 1)], {}, "orpo"), NASTY, "orpo")
    page = Page(html)
    assert "img" not in page.tags
    assert "onerror" not in dict(page.attributes)
    assert "{{ 7 * 7 }}" in html


def test_thumbnails_are_small_and_blank_ones_absent(tmp_path: Path) -> None:
    address = thumbnail(encoded())
    assert address is not None
    assert len(address) < 120_000
    assert thumbnail(encoded(colours=1)) is None
    assert thumbnail(None) is None
    write_tiles(tmp_path / "out" / "tiles.html", [], "demo", "orpo")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["tiles.html"]
