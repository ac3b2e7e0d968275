"""Validation on the way changes nothing about a training, and measures what evaluation would."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.config.evaluation import EvaluationConfig
from mint_ray.evaluation.metrics.validation import validated_file
from mint_ray.students.ranking.ranker import Ranker
from mint_ray.students.student import Student, load_base_student, load_student
from mint_ray.students.training.trainer import train
from mint_ray.students.training.validation import ValidationPlan
from mint_ray.students.training_spec import TAUGHT, TrainingSpec
from tests.students.pairs import LABELS, NAMES, pair_row, student_config, training_config

NOTES = [f"A patient with finding {number}." for number in range(7)]


@pytest.fixture
def plan(catalogue: Path, tmp_path: Path) -> ValidationPlan:
    labels = [*list(LABELS)[:6], "OMIM:999999"]
    cases = [
        {"case_id": f"c{i}", "group_id": f"g{i}", "label_id": label, "note": note}
        for i, (label, note) in enumerate(zip(labels, NOTES, strict=True))
    ]
    pq.write_table(pa.Table.from_pylist(cases), tmp_path / "cases.parquet")
    (tmp_path / "answers").mkdir()
    # A beam search may stop once it has found `top_k` names that no other can overtake.
    evaluation = EvaluationConfig(search="beam", beam_width=8, top_k=5)
    return ValidationPlan(
        tmp_path / "cases.parquet", catalogue, (0.3,), tmp_path / "answers", evaluation
    )


def ranker_of(student: Student) -> Ranker:
    return Ranker(student, NAMES, top_k=5, search="beam", beam_width=8)


def test_steps_of_a_plan(plan: ValidationPlan) -> None:
    assert [plan.steps(total) for total in (1, 2, 10)] == [[1], [1, 2], [3, 10]]
    watched = replace(plan, every=4)
    assert [watched.steps(total) for total in (1, 8, 10)] == [[0, 1], [0, 4, 8], [0, 4, 8, 10]]


def test_a_watched_run_begins_with_the_base_model_and_keeps_its_checkpoints(
    write_pairs: Callable[[list[dict[str, Any]]], Path],
    base_folder: Path,
    tmp_path: Path,
    plan: ValidationPlan,
) -> None:
    pairs = write_pairs([pair_row(number) for number in range(12)])
    student = student_config(base_folder)
    rows: list[tuple[dict[str, float], bool]] = []
    train(
        TrainingSpec(
            pairs,
            tmp_path / "out",
            student=student,
            training=training_config(epochs=2, checkpoint_steps=3),
            k=2,
            seed=0,
            validation=replace(plan, every=2),
        ),
        lambda metrics, folder: rows.append((metrics, folder is not None)),
    )
    watched = [row for row, _ in rows if "validation/entropy" in row]
    assert [row["step"] for row in watched] == [0, 2, 4, 6]
    assert [row["step"] for row, kept in rows if kept] == [3, 6]
    tokens = [row["tokens_seen"] for row in watched]
    assert tokens == sorted(tokens)
    assert tokens[0] == 0
    assert all(0 < row["validation/confidence"] <= 1 for row in watched)

    taught = pq.read_table(tmp_path / "out" / TAUGHT).to_pylist()
    assert {row["preference_id"]: row["times"] for row in taught} == {
        f"pair-{number:03d}": 2 for number in range(12)
    }

    base = load_base_student(student, 2, "cpu")
    expected = ranker_of(base).rank(NOTES)
    logs = [[p * math.log(p) for p in ranking.scored if p] for ranking in expected]
    entropy = -sum(map(sum, logs)) / len(expected)
    assert watched[0]["validation/entropy"] == pytest.approx(entropy)
    confidence = sum(ranking.probabilities[0] for ranking in expected) / len(expected)
    assert watched[0]["validation/confidence"] == pytest.approx(confidence)


@pytest.mark.parametrize("deepspeed", ["off", "zero2"])
def test_a_validated_run_ends_in_the_same_student(
    write_pairs: Callable[[list[dict[str, Any]]], Path],
    base_folder: Path,
    tmp_path: Path,
    plan: ValidationPlan,
    deepspeed: str,
) -> None:
    pairs = write_pairs([pair_row(number) for number in range(12)])
    reported: dict[str, list[dict[str, float]]] = {"with": [], "without": []}
    for name, rows in reported.items():
        train(
            TrainingSpec(
                pairs,
                tmp_path / name,
                student=student_config(base_folder, lora_dropout=0.1),
                training=training_config(epochs=3, deepspeed=deepspeed),
                k=2,
                seed=0,
                validation=plan if name == "with" else None,
            ),
            lambda metrics, folder, rows=rows: rows.append(metrics),
        )
    adapters = [(tmp_path / n / "adapter_model.safetensors").read_bytes() for n in reported]
    assert adapters[0] == adapters[1]
    at = [row["step"] for row in reported["with"] if "validation/mrr" in row]
    assert at == plan.steps(9) == [3, 9]
    assert not any("validation/mrr" in row for row in reported["without"])

    student = load_student(tmp_path / "with", "cpu")
    known = [*range(6), None]
    expected = ranker_of(student).rank(NOTES, known)
    rows = pq.read_table(validated_file(plan.folder, 9)).to_pylist()
    assert [row["rank"] for row in rows] == [ranking.answer_rank for ranking in expected]
    for row, ranking in zip(rows, expected, strict=True):
        assert row["confidence"] == pytest.approx(ranking.probabilities[0])
        assert row["probability"] == pytest.approx(ranking.answer_probability or 0.0)
    reciprocal = [1 / ranking.answer_rank if ranking.answer_rank else 0.0 for ranking in expected]
    assert reported["with"][-1]["validation/mrr"] == pytest.approx(sum(reciprocal) / 7)
