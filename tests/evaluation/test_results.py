import json
from pathlib import Path

import pytest

from mint_ray.errors import DataError
from mint_ray.evaluation.metrics.compute import evaluate
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes
from mint_ray.evaluation.results import (
    METRICS,
    format_value,
    read_metrics,
    strata_of,
    write_metrics,
)


def test_metrics_file_keeps_what_was_measured(
    tmp_path: Path, outcomes: dict[str, Outcomes], cases: EvaluatedCases
) -> None:
    metrics = evaluate(outcomes, cases, bins=10, samples=100, seed=0)
    write_metrics(tmp_path / "metrics.json", metrics)
    assert read_metrics(tmp_path / "metrics.json") == metrics
    assert set(metrics["orpo"]["all"]) <= set(METRICS)
    assert strata_of(metrics) == ["all", "seen", "unseen"]


@pytest.mark.parametrize("text", ["", "[]", '{"orpo": 1}', json.dumps({"s": {"all": {"top1": 3}}})])
def test_a_damaged_file_is_a_data_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "metrics.json"
    file.write_text(text)
    with pytest.raises(DataError, match=r"metrics\.json"):
        read_metrics(file)


def test_a_missing_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run the evaluate stage"):
        read_metrics(tmp_path / "metrics.json")


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("top1", 0.4123, "41.2"),
        ("mrr", 0.5, "0.500"),
        ("nll", 27.631, "27.63"),
        ("nll", 1.2345, "1.23"),
        ("ece", None, "–"),
    ],
)
def test_numbers_are_shown_with_sensible_digits(
    metric: str, value: float | None, text: str
) -> None:
    assert format_value(metric, value) == text
