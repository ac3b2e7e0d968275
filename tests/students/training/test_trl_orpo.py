"""Training by TRL's own ORPO trainer, which leaves a student like any other."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mint_ray.config.load import parse_config
from mint_ray.errors import ConfigError
from mint_ray.students.student import load_student
from mint_ray.students.training.trl_orpo import train_with_trl
from mint_ray.students.training_spec import TrainingSpec
from tests.students.conftest import make_examples, pair_row, student_config, training_config


def test_a_student_is_trained_on_the_same_tokens(
    write_pairs: Callable[[list[dict[str, Any]]], Path],
    base_folder: Path,
    tokenizer: Any,
    tmp_path: Path,
) -> None:
    rows = [pair_row(number) for number in range(8)]
    reports: list[dict[str, float]] = []
    spec = TrainingSpec(
        write_pairs(rows),
        tmp_path / "out",
        student=student_config(base_folder, max_prompt_length=700, max_length=1400),
        training=training_config(batch_size=4, epochs=4, orpo_lambda=0.25, trainer="trl"),
        k=2,
        seed=0,
        micro_batch_size=2,
    )
    summary = train_with_trl(spec, lambda metrics, folder: reports.append(metrics))
    assert [metrics["step"] for metrics in reports] == list(range(1, 9))
    assert (summary.steps, summary.pairs, summary.cases) == (8, 8, 8)
    assert summary.metrics == reports[-1]
    assert all(math.isfinite(metrics["loss"]) for metrics in reports)
    assert reports[-1]["loss"] < reports[0]["loss"]
    # Every pair is read four times, with its prompt before each of its two answers.
    lengths = [
        2 * len(example.prompt) + sum(map(len, example.completions))
        for example in make_examples(tokenizer, range(8))
    ]
    assert summary.metrics["tokens_seen"] == pytest.approx(4 * sum(lengths))
    student = load_student(tmp_path / "out", "cpu")
    assert (student.info.objective, student.info.k) == ("orpo", 2)


@pytest.mark.parametrize(
    "sections",
    [
        {"training": {"objective": "dpo"}},
        {"resources": {"train_workers": 2}},
        {"task": "tissue", "cases": {"source": "tiles"}},
    ],
)
def test_what_trl_does_not_train_is_refused(sections: dict[str, Any]) -> None:
    training = {"trainer": "trl", **sections.get("training", {})}
    with pytest.raises(ConfigError, match=r"training\.trainer=trl: expected .*objective=orpo"):
        parse_config({**sections, "training": training})
