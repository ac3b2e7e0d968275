import io

import pytest
from rich.console import Console

from mint_ray.evaluation.results import Metrics, format_value
from mint_ray.reports.evaluation.table import (
    CLASS_COLUMNS,
    COLUMNS,
    MICRO_COLUMNS,
    column_title,
    columns_of,
    header,
    plain_table,
    print_free_answers,
    print_table,
    rows_of,
)

TITLES = {"orpo": "ORPO student", "teacher": "Teacher"}


@pytest.fixture
def metrics() -> Metrics:
    top1 = {"value": 0.4123, "low": 0.38, "high": 0.45, "n": 1234}
    ece = {"value": None, "low": None, "high": None, "n": 0}
    return {
        "teacher": {"all": {"top1": {**top1, "value": 0.6}}, "unseen": {"ece": ece}},
        "orpo": {"all": {"top1": top1}, "unseen": {"ece": ece}},
    }


def printed(
    metrics: Metrics, width: int, terminal: bool, student: str | None = None, colour: bool = False
) -> str:
    out = io.StringIO()
    system = "standard" if colour else None
    console = Console(file=out, width=width, force_terminal=terminal, color_system=system)
    print_table(metrics, console=console, student=student)
    return out.getvalue()


def test_plain_table_has_aligned_columns_and_n(metrics: Metrics) -> None:
    lines = plain_table(metrics).splitlines()
    assert lines[0] == "All cases, n = 1,234; 95% intervals in brackets"
    assert lines[1].split()[0] == "System"
    assert lines[2].startswith("ORPO student  41.2 [38.0, 45.0]")
    assert lines[3].startswith("Teacher       60.0 [38.0, 45.0]")


def test_a_pipe_gets_plain_lines_that_are_never_cut(metrics: Metrics) -> None:
    assert printed(metrics, 40, terminal=False) == plain_table(metrics) + "\n"


def test_a_wide_terminal_shows_intervals(metrics: Metrics) -> None:
    text = printed(metrics, 120, terminal=True)
    assert "41.2" in text
    assert "[38.0, 45.0]" in text
    assert "…" not in text


def test_a_narrow_terminal_leaves_intervals_out(metrics: Metrics) -> None:
    text = printed(metrics, 80, terminal=True)
    assert "41.2" in text
    assert "[38.0" not in text
    assert "…" not in text


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("columns", [COLUMNS, MICRO_COLUMNS, CLASS_COLUMNS])
def test_no_number_is_cut_at_any_width(width: int, columns: tuple[str, ...]) -> None:
    value = {"value": 0.4123, "low": 0.11, "high": 0.89, "n": 1234}
    values = {name: {**value, "value": 0.4123 + n / 100} for n, name in enumerate(columns)}
    systems = ("orpo", "teacher", "base", "student_cft_generated_stain")
    metrics: Metrics = {name: {"all": values} for name in systems}
    text = printed(metrics, width, terminal=True)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for name in columns:
        assert text.count(format_value(name, values[name]["value"])) == len(systems)
        assert column_title(name) in text


@pytest.mark.parametrize("student", ["orpo", "teacher", None])
def test_the_students_row_stands_out(
    metrics: Metrics, student: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    lines = printed(metrics, 120, terminal=True, student=student, colour=True).splitlines()
    rows = {name: next(x for x in lines if title in x) for name, title in TITLES.items()}
    assert [name for name, row in rows.items() if "\x1b[1;32m" in row] == [student] * bool(student)


def test_rows_have_the_cells_of_the_header(metrics: Metrics) -> None:
    assert header(("top1", "ece")) == ["System", "Top-1 % ↑", "ECE ↓"]
    assert rows_of(metrics, "all", ("top1", "ece")) == [
        ["ORPO student", "41.2 [38.0, 45.0]", "–"],
        ["Teacher", "60.0 [38.0, 45.0]", "–"],
    ]


def test_an_empty_stratum_is_dashes(metrics: Metrics) -> None:
    assert "n = 0" in plain_table(metrics, "unseen")
    assert plain_table(metrics, "unseen").splitlines()[2].split()[2:] == ["–"] * 6


def test_a_system_measured_on_fewer_cases_says_so(metrics: Metrics) -> None:
    few = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 20}
    text = plain_table(metrics | {"orpo_generated": {"all": {"top1": few}}})
    assert text.startswith("All cases, n = 1,234;")
    assert "ORPO student, generated (n = 20)" in text
    assert text.count("n = ") == 2


def test_means_over_groups_stand_first_for_patients_and_files_without_them_are_shown(
    metrics: Metrics,
) -> None:
    assert columns_of(metrics)[:4] == ("top1", "top3", "top10", "mrr")
    value = metrics["orpo"]["all"]["top1"]
    patients: Metrics = {"orpo": {"all": {"top1": value, "top1_macro": value}}}
    assert columns_of(patients)[:4] == ("top1_macro", "top3_macro", "top10_macro", "top1")
    tiles: Metrics = {"orpo": {"all": {"balanced_accuracy": value, **patients["orpo"]["all"]}}}
    assert columns_of(tiles) == CLASS_COLUMNS


def free_table(metrics: Metrics) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_free_answers(metrics, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_free_answers_stand_beside_the_ranking_of_the_same_cases(metrics: Metrics) -> None:
    few = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 20}
    named = {"hallucination_free": few, "top1_lenient": few}
    assert free_table(metrics) == ""
    both: Metrics = {
        **metrics,
        "orpo": metrics["orpo"] | {"answered_freely": named},
        "orpo_generated": {"all": named, "answered_freely": named},
    }
    lines = free_table(both).splitlines()
    assert lines[0].startswith("Cases that were also answered freely, n = 20;")
    assert "Hallucination-free" in lines[1]
    assert [line.split("  ")[0] for line in lines[2:]] == [
        "ORPO student",
        "ORPO student, generated",
    ]
    every: Metrics = {"orpo": {"all": named}, "orpo_generated": {"all": named}}
    assert free_table(every).startswith("All cases, n = 20;")
