"""Stage `compare` on finished evaluations; tests/test_end_to_end.py has it from the command."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mint_ray.config.load import parse_config
from mint_ray.errors import DataError
from mint_ray.pipeline.steps import StepContext
from mint_ray.runtime.metrics_stream import append_metrics
from mint_ray.stages.compare import run
from mint_ray.stages.compare.trainings import watched_of
from mint_ray.tracking.tracker import NullRun
from tests.evaluation.evaluated import (
    RIGHT,
    finish,
    write_answers,
    write_cases,
    write_evaluation,
    write_training,
)

WRONG = {**RIGHT, "c": "OMIM:1", "d": "OMIM:2"}


class Silent:
    """A display that shows nothing."""

    def update(self, done: float, total: float, detail: str = "") -> None: ...

    def say(self, message: str) -> None: ...


class RecordedRun(NullRun):
    """A run that keeps its children's metrics by folder name."""

    def __init__(self) -> None:
        self.children: dict[str, RecordedRun] = {}
        self.metrics: Mapping[str, Any] = {}

    def child(self, folder: Path) -> "RecordedRun":
        return self.children.setdefault(folder.name, RecordedRun())

    def log_metrics(
        self, metrics: Mapping[str, Any], step: int = 0, at: float | None = None
    ) -> None:
        self.metrics = metrics


@pytest.fixture
def context(tmp_path: Path) -> StepContext:
    """A comparison of four evaluated systems; dpo continues from orpo."""
    systems = {
        "orpo": {},
        "pulled": {"start_from": "orpo", "overrides": {"training.objective": "dpo"}},
        "look_ups": {"overrides": {"evaluation.systems": ["majority", "base"]}},
    }
    config = parse_config(
        {"evaluation": {"bootstrap_samples": 100}, "compare": {"systems": systems}}
    )
    first = write_training(tmp_path, "train-1", None, 100.0)
    write_training(tmp_path, "train-2", first, 300.0)
    inputs = {
        "cases": write_cases(tmp_path),
        "evaluate orpo": write_evaluation(tmp_path, "e-1", {"orpo": RIGHT}, student="orpo"),
        "evaluate pulled": write_evaluation(
            tmp_path, "e-2", {"dpo": WRONG}, "train-2", student="dpo"
        ),
        "evaluate look_ups": write_evaluation(
            tmp_path, "e-3", {"majority": WRONG, "base": WRONG}, student="orpo"
        ),
    }
    finish(inputs["cases"], "cases", inputs={}, config={})
    output = tmp_path / "compare-1"
    output.mkdir()
    return StepContext(config, "0123abcd", inputs, output, RecordedRun(), Silent())


def test_systems_are_joined_measured_and_reported(context: StepContext) -> None:
    outcome = run(context)
    names = ["majority", "base", "orpo", "pulled"]
    assert (outcome.rows_out, outcome.facts["systems"]) == (4, names)
    assert (outcome.metrics["orpo.all.top1"], outcome.metrics["pulled.all.top1"]) == (1.0, 0.5)
    metrics = json.loads((context.output / "metrics.json").read_text())
    assert metrics["pulled"]["all"]["top1_macro"]["value"] == pytest.approx(1 / 3)
    table = pq.read_table(context.output / "predictions.parquet")
    assert set(table["system"].to_pylist()) == set(names)
    written = json.loads((context.output / "differences.json").read_text())
    assert written["reference"] == "orpo"
    assert written["differences"]["pulled"]["all"]["metrics"]["top1"]["value"] == -0.5
    page = (context.output / "report.html").read_text()
    assert "from orpo, training.objective=dpo" in page
    assert isinstance(context.run, RecordedRun)
    children = context.run.children
    assert {name: child.metrics["top1"] for name, child in children.items()} == {
        "orpo": 1.0,
        "pulled": 0.5,
        "majority": 0.5,
        "base": 0.5,
    }


def test_costs_count_what_a_training_continues_from(context: StepContext) -> None:
    run(context)
    costs = json.loads((context.output / "costs.json").read_text())
    assert costs == {
        "orpo": {"steps": 2, "tokens": 100.0, "training_seconds": 2.0, "ranking_seconds": 60.0},
        "pulled": {"steps": 4, "tokens": 400.0, "training_seconds": 4.0, "ranking_seconds": 60.0},
        # Taken as it is, and ranked together with another system.
        "base": {"steps": 0, "tokens": 0.0, "training_seconds": 0.0, "ranking_seconds": None},
    }


def test_what_was_watched_counts_what_a_training_continues_from(
    context: StepContext, tmp_path: Path
) -> None:
    assert watched_of(tmp_path / "e-1") == []

    def watched(step: float, tokens: float, confidence: float) -> dict[str, float]:
        values = {"confidence": confidence, "entropy": 2.0, "top1": 0.5, "ece": 0.25}
        named = {f"validation/{name}": value for name, value in values.items()}
        return {"step": step, "steps": 2.0, "tokens_seen": tokens} | named

    for name, rows in {
        "train-1": [watched(0, 0.0, 0.1), {"step": 1.0, "tokens_seen": 50.0}],
        "train-2": [watched(0, 0.0, 0.3), watched(2, 300.0, 0.9)],
    }.items():
        for row in rows:
            append_metrics(tmp_path / name, row)
    append_metrics(tmp_path / "train-1", watched(2, 100.0, 0.2))
    run(context)
    written = json.loads((context.output / "watched.json").read_text())
    found = {
        name: [(row["step"], row["tokens"], row["confidence"]) for row in rows]
        for name, rows in written.items()
    }
    orpo = [(0, 0, 0.1), (2, 100, 0.2)]
    assert found == {"orpo": orpo, "pulled": [*orpo, (2, 100, 0.3), (4, 400, 0.9)]}
    page = (context.output / "report.html").read_text()
    assert "Entropy of the answers, nats against training tokens" in page
    assert "pulled, step 4: 0.9" in page


def test_a_training_that_counted_no_tokens_is_compared(
    context: StepContext, tmp_path: Path
) -> None:
    append_metrics(tmp_path / "train-1", {"step": 2.0, "steps": 2.0, "loss": 1.0})
    run(context)
    assert json.loads((context.output / "watched.json").read_text()) == {}


def test_an_evaluation_of_other_cases_is_refused(context: StepContext, tmp_path: Path) -> None:
    fewer = {case: label for case, label in RIGHT.items() if case != "d"}
    other = write_evaluation(tmp_path, "e-4", {"dpo": fewer}, "train-2", student="dpo")
    changed = dataclasses.replace(context, inputs={**context.inputs, "evaluate pulled": other})
    with pytest.raises(DataError, match=r"systems\.pulled: .* 4 tested cases .* found one of 3"):
        run(changed)
    assert not (context.output / "metrics.json").exists()


def test_answers_of_a_chat_model_join_by_their_ranks(context: StepContext, tmp_path: Path) -> None:
    """Two protocols on two kinds of notes, of which no list has a probability."""
    listed = {
        "late_noisy": {"a": ["OMIM:1"], "b": ["OMIM:2"], "c": ["OMIM:1", "OMIM:3"], "d": []},
        "early_noisy": {"a": ["OMIM:2"], "b": ["OMIM:3"], "c": [], "d": []},
        "late_clean": {"a": ["OMIM:1"], "b": [], "c": [], "d": []},
        "early_clean": {"a": ["OMIM:1"], "b": ["OMIM:2"], "c": [], "d": []},
    }
    tree = context.config.model_dump(mode="json")
    inputs = dict(context.inputs)
    for name, by_case in listed.items():
        protocol = "cot_rag" if name.startswith("late") else "rag_cot"
        overrides = {"reasoning.protocol": protocol, "reasoning.note": name.split("_")[1]}
        tree["compare"]["systems"][name] = {"overrides": overrides}
        inputs[f"reason {name}"] = write_answers(tmp_path, f"reason-{name}", protocol, by_case)
    tree["compare"]["contrasts"] = {"order_by_noise": list(listed)}
    run(dataclasses.replace(context, config=parse_config(tree), inputs=inputs))

    metrics = json.loads((context.output / "metrics.json").read_text())
    assert metrics["late_noisy"]["all"]["top3"]["value"] == 0.75
    assert metrics["late_noisy"]["all"]["top1"]["n"] == 4  # d is a miss
    assert not {"nll", "brier", "ece"} & set(metrics["late_noisy"]["all"])
    assert "nll" in metrics["orpo"]["all"]
    written = json.loads((context.output / "differences.json").read_text())
    gaps = written["differences"]["late_noisy"]["all"]
    assert gaps["metrics"]["top1"]["value"] == -0.5  # less ORPO, which is right everywhere
    assert gaps["mcnemar"]["only_second"] == 2
    # (1/2 - 0) - (1/4 - 1/2)
    contrast = written["contrasts"]["order_by_noise"]["strata"]["all"]["top1"]
    assert contrast["value"] == pytest.approx(0.75)
    costs = json.loads((context.output / "costs.json").read_text())
    free = {"steps": 0, "tokens": 0.0, "training_seconds": 0.0, "ranking_seconds": 60.0}
    assert costs["late_noisy"] == free
    page = (context.output / "report.html").read_text()
    assert "late_noisy <small>ranks only</small>" in page
    assert "order_by_noise<small>late_noisy − early_noisy − late_clean + early_clean" in page
