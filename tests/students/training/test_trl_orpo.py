"""Training by TRL's own ORPO trainer, which leaves a student like any other."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mint_ray.config.load import parse_config
from mint_ray.errors import ConfigError
from mint_ray.students.student import load_student
from mint_ray.students.training.trainer import train
from mint_ray.students.training.trl_orpo import train_with_trl
from mint_ray.students.training_spec import TrainingSpec
from tests.students.conftest import make_examples
from tests.students.pairs import pair_row, student_config, training_config


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


def test_a_budget_of_tokens_ends_both_trainings(
    write_pairs: Callable[[list[dict[str, Any]]], Path], base_folder: Path, tmp_path: Path
) -> None:
    pairs = write_pairs([pair_row(number) for number in range(8)])
    reports: dict[str, list[dict[str, float]]] = {"orpo": [], "sft": [], "trl": []}
    for name, rows in reports.items():
        objective = "sft" if name == "sft" else "orpo"
        settings = {"objective": objective, "epochs": 9, "batch_size": 5, "max_tokens": 6000}
        spec = TrainingSpec(
            pairs,
            tmp_path / name,
            student=student_config(base_folder),
            training=training_config(**settings),
            k=2,
            seed=0,
            micro_batch_size=3,  # of which TRL's step has two: 6 pairs
        )
        run = train_with_trl if name == "trl" else train
        run(spec, lambda metrics, folder, rows=rows: rows.append(metrics))
    for rows in reports.values():
        each = rows[0]["tokens_seen"]
        assert 6000 - 2 * each < rows[-1]["tokens_seen"] <= 6000
        assert (rows[-1]["step"], len(rows)) == (rows[-1]["steps"], rows[-1]["step"])
    # Both read one prompt a pair; ORPO reads two answers of it, and TRL a prompt for each.
    assert len(reports["sft"]) > len(reports["orpo"]) > len(reports["trl"])


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
