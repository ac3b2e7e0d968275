"""The choice of a learning rate: best of a metric, lowest of equal ones, read as written."""

from pathlib import Path

import pytest

from mint_ray.errors import DataError
from mint_ray.evaluation.learning_rates import FILE, choose_rate, read_choice, write_choice
from mint_ray.evaluation.results import Metrics

SYSTEMS = {1e-3: "0.001", 1e-4: "0.0001", 1e-5: "1e-05"}


def measured(values: dict[float, float | None], metric: str) -> Metrics:
    return {
        SYSTEMS[rate]: {"all": {metric: {"value": value, "low": value, "high": value, "n": 9}}}
        for rate, value in values.items()
    }


@pytest.mark.parametrize(
    ("metric", "values", "chosen"),
    [
        ("mrr_macro", {1e-3: 0.5, 1e-4: 0.25, 1e-5: 0.375}, 1e-3),
        ("nll_macro", {1e-3: 0.5, 1e-4: 0.25, 1e-5: 0.375}, 1e-4),
        ("top1_macro", {1e-3: 0.5, 1e-4: 0.5, 1e-5: 0.25}, 1e-4),
        ("mrr_macro", {1e-3: None, 1e-4: 0.0, 1e-5: None}, 1e-4),
    ],
)
def test_the_best_rate_is_chosen(
    metric: str, values: dict[float, float | None], chosen: float, tmp_path: Path
) -> None:
    choice = choose_rate(measured(values, metric), SYSTEMS, metric, cases=9)
    assert (choice.chosen, choice.metric, choice.cases) == (chosen, metric, 9)
    assert [trial.learning_rate for trial in choice.tried] == [1e-5, 1e-4, 1e-3]
    write_choice(tmp_path, choice)
    assert read_choice(tmp_path) == choice


def test_without_a_single_value_nothing_is_chosen() -> None:
    nothing: Metrics = {name: {"all": {}} for name in SYSTEMS.values()}
    with pytest.raises(DataError, match="none of 9 validation cases was answered"):
        choose_rate(nothing, SYSTEMS, "nll_macro", cases=9)


@pytest.mark.parametrize("text", ["", "{}", '{"chosen": 1}', '{"tried": [1]}'])
def test_a_damaged_choice_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"rates\.json: .*FileNotFound"):
        read_choice(tmp_path)
    (tmp_path / FILE).write_text(text)
    with pytest.raises(DataError, match=r"expected a chosen learning rate.*mint rates CONFIG"):
        read_choice(tmp_path)
