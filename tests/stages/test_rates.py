"""Stages `rates` and `candidates`: what a training takes from rankings of finished students."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.config.config import Config
from mint_ray.config.load import parse_config
from mint_ray.evaluation.learning_rates import read_choice
from mint_ray.evaluation.predictions import read_predictions
from mint_ray.evaluation.results import read_metrics
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.pipeline.steps import StepContext
from mint_ray.stages import candidates, rates
from mint_ray.stages.workers.training import CANDIDATES
from mint_ray.students.ranking.ranker import Ranker
from mint_ray.students.student import load_student
from mint_ray.students.training.trainer import train as train_student
from mint_ray.students.training_spec import TrainingSpec
from tests.students.pairs import LABELS, NAMES, pair_row, student_config, training_config

pytestmark = pytest.mark.usefixtures("actors_here")

RATES = (1e-2, 1e-6)


@pytest.fixture
def context(base_folder: Path, tmp_path: Path) -> StepContext:
    """Two trainings of the tiny model, at rates so far apart that their students differ."""
    cases = tmp_path / "cases-1"
    cases.mkdir()
    Catalogue(Label(key, name, (key,), (), ()) for key, name in LABELS.items()).write(
        cases / "catalogue.parquet"
    )
    rows: list[Any] = []
    for number, (label, name) in enumerate(LABELS.items()):
        for split in ("train", "validation"):
            case = blank_case(f"{split}-{number}", "test")
            case["split"], case["label_id"], case["label_name"] = split, label, name
            case["seen"], case["note"] = True, f"A patient with finding {number}."
            rows.append(case)
    pq.write_table(pa.Table.from_pylist(rows, CASE_SCHEMA), cases / "cases.parquet")
    pairs = tmp_path / "prefer-1"
    pairs.mkdir()
    table = [pair_row(number, case_id=f"train-{number}") for number in range(10)]
    pq.write_table(pa.Table.from_pylist(table), pairs / "train.parquet")
    inputs = {"cases": cases, "prefer": pairs}
    for rate in RATES:
        inputs[f"train {rate:g}"] = tmp_path / f"train-{rate:g}"
        train_student(
            TrainingSpec(
                pairs / "train.parquet",
                tmp_path / f"train-{rate:g}",
                student=student_config(base_folder),
                training=training_config(learning_rate=rate, epochs=4),
                k=2,
                seed=0,
                micro_batch_size=4,
                catalogue=cases / "catalogue.parquet",
            ),
            lambda metrics, folder: None,
        )
    trials = {"learning_rates": list(RATES), "cases": 8, "metric": "nll"}
    config = parse_config(
        {
            "training": {"trials": trials, "max_steps": 9},
            "preferences": {"chosen_size": 2},
            "student": {"base_model": str(base_folder)},
        }
    )
    output = tmp_path / "rates-1"
    output.mkdir()
    return context_of(config, inputs, output)


def context_of(config: Config, inputs: dict[str, Path], output: Path) -> StepContext:
    handle = SimpleNamespace(say=lambda text: None, update=lambda done, total, detail: None)
    run = SimpleNamespace(log_artifact=lambda path: None)
    return StepContext(config, "key", inputs, output, run, handle)  # type: ignore[arg-type]


def test_the_rate_of_the_better_student_is_chosen(context: StepContext) -> None:
    outcome = rates.run(context)
    metrics = read_metrics(context.output / "metrics.json")
    nll = {rate: metrics[f"{rate:g}"]["all"]["nll_macro"]["value"] for rate in RATES}
    better = min(RATES, key=nll.__getitem__)
    assert nll[better] < max(nll.values())
    choice = read_choice(context.output)
    assert (choice.chosen, choice.metric, choice.cases) == (better, "nll_macro", 8)
    assert {trial.learning_rate: trial.value["value"] for trial in choice.tried} == nll
    assert outcome.facts["learning_rate"] == better
    ranked = read_predictions(context.output / "predictions.parquet")
    ids = set(ranked["case_id"].to_pylist())
    assert len(ids) == 8
    assert all(name.startswith("validation-") for name in ids)


def test_a_starting_student_gives_the_candidates_of_its_training_cases(
    context: StepContext,
) -> None:
    start = context.inputs["train 0.01"]
    student = context.config.student.model_copy(update={"init_adapter": start})
    config = context.config.model_copy(update={"student": student})
    outcome = candidates.run(context_of(config, dict(context.inputs), context.output))
    assert outcome.rows_in == outcome.rows_out == 10
    rows = pq.read_table(context.output / CANDIDATES).to_pylist()
    assert {row["case_id"] for row in rows} == {f"train-{number}" for number in range(10)}
    ids = list(LABELS)
    notes = [f"A patient with finding {row['case_id'].split('-')[1]}." for row in rows]
    ranker = Ranker(load_student(start, "cpu"), NAMES, top_k=10, listed=16)
    for row, ranking in zip(rows, ranker.rank(notes), strict=True):
        assert row["candidates"] == [ids[label] for label in ranking.labels]
