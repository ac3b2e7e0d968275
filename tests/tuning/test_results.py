"""What a campaign taught, as numbers, words, table and page."""

import re
from collections import Counter
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from mint_ray.reports.campaign.report import render_report, write_report
from mint_ray.reports.campaign.table import print_trials, trials_table
from mint_ray.tuning.campaign import Campaign
from mint_ray.tuning.results import Results, read_results
from mint_ray.tuning.trials import read_trials
from tests.tuning.campaigns import CASES, STEPS, Clock, config, run


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    output = tmp_path_factory.mktemp("campaign")
    made = config(trials=12, startup_trials=6, reduction_factor=4)
    clock = Clock()
    run(Campaign(made, output, lambda line: setattr(clock, "now", clock.now + 7), clock=clock))
    return read_results(made, read_trials(output))


def test_the_winner_and_its_distance_to_the_default(results: Results) -> None:
    assert results.winner is not None
    gap = results.differences["mrr"]
    assert results.winner.trial.number > 0
    assert 0 < gap.low < gap.value < gap.high
    assert gap.n == results.cases == CASES
    assert results.groups == CASES // 2
    assert results.recommendation.startswith("Use training.orpo_lambda=")
    assert "confirm it on the test cases" in results.recommendation


def test_what_was_saved_is_counted(results: Results) -> None:
    assert results.planned == 12 * STEPS
    assert results.spent < results.planned / 2
    assert results.states["stopped"] >= 4
    assert f"{results.spent} optimizer steps spent of 324" in results.summary


def test_importance_finds_what_matters(results: Results) -> None:
    assert sum(results.importance.values()) == pytest.approx(1.0)
    assert results.importance["training.orpo_lambda"] > 0.6


def test_the_front_is_not_bettered(results: Results) -> None:
    assert results.winner is not None
    assert results.winner.trial.number in results.pareto
    finished = {one.trial.number for one in results.trials if one.trial.state == "finished"}
    assert results.pareto <= finished


def test_the_table_has_every_trial_once(results: Results) -> None:
    table = trials_table(results)
    assert table["trial"].to_pylist() == list(range(12))
    assert sum(table["winner"].to_pylist()) == 1
    assert table["spent_steps"].to_pylist()[0] == STEPS
    assert all(seconds > 0 for seconds in table["cpu_seconds"].to_pylist())
    shown = StringIO()
    print_trials(results, Console(file=shown, width=140))
    assert "0 (own)" in shown.getvalue()
    assert "lora_rank" in shown.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_number_of_a_trial_is_cut_at_any_width(results: Results, width: int) -> None:
    wide, narrow = StringIO(), StringIO()
    print_trials(results, Console(file=wide, width=400, force_terminal=True, color_system=None))
    print_trials(results, Console(file=narrow, width=width, force_terminal=True, color_system=None))
    text = narrow.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    found = Counter(re.findall(r"[\w.()/]+", text))
    missing = Counter(re.findall(r"[\w.()/]+", wide.getvalue())) - found
    assert not missing


def test_the_page_is_whole_and_stands_alone(results: Results, tmp_path: Path) -> None:
    page = render_report("tune-1a2b", results)
    assert results.recommendation.split(":")[0] in page
    assert "campaign <code>tune-1a2b</code>" in page
    for heading in ("Distance to the default", "Importance", "Learning curves", "Cost"):
        assert heading in page
    for label in ("Settings and metric of every trial", "Cost against quality", "first rung by"):
        assert label in page
    assert page.count("<svg") == 8
    assert not re.search(r"<script|https?://|@import|url\(", page)
    assert not re.search(r'"[^"]*\bnan\b[^"]*"', page)
    write_report(tmp_path / "report.html", "k", results)
    assert (tmp_path / "report.html").read_text(encoding="utf-8").lstrip().startswith("<!doctype")


def test_nothing_finished_and_nothing_tried_still_make_a_page(tmp_path: Path) -> None:
    made = config()
    assert "nothing to recommend" in render_report("k", read_results(made, []))
    campaign = Campaign(made, tmp_path, lambda line: None, clock=Clock())
    campaign.next_trial()
    assert "nothing to recommend" in render_report("k", read_results(made, read_trials(tmp_path)))


def test_the_default_may_be_the_best(tmp_path: Path) -> None:
    space = {"training.orpo_lambda": {"kind": "uniform", "low": 0.01, "high": 0.02}}
    space["student.lora_rank"] = {"kind": "choice", "values": [4]}  # type: ignore[dict-item]
    made = config(space=space, trials=3)
    run(Campaign(made, tmp_path, lambda line: None, clock=Clock()))
    results = read_results(made, read_trials(tmp_path))
    assert results.differences == {}
    assert results.recommendation.startswith("Keep the config's own configuration")
