"""A student with the mean of the weights of two trainings."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from mint_ray.config.load import parse_config
from mint_ray.errors import ConfigError, TrainingError
from mint_ray.pipeline.extra_inputs import trainings_of_members
from mint_ray.pipeline.graph import plan
from mint_ray.pipeline.steps import StepContext
from mint_ray.runtime.metrics_stream import append_metrics, read_metrics_lines
from mint_ray.stages import train
from mint_ray.stages.workers.training import read_summary, write_summary
from mint_ray.students.averaging import average_students
from mint_ray.students.student import load_student
from mint_ray.students.student_folder import read_info
from mint_ray.students.training.trainer import train as train_student
from mint_ray.students.training_spec import TAUGHT, TrainingSpec
from tests.students.pairs import pair_row, student_config, training_config

WHOLE: dict[str, Any] = {"student": {"adapter": "full"}}


@pytest.fixture
def members(base_folder: Path, tmp_path: Path) -> dict[str, Path]:
    """Folders of two students of the tiny model, of which the second read one step less."""
    pairs = tmp_path / "train.parquet"
    pq.write_table(pa.Table.from_pylist([pair_row(number) for number in range(8)]), pairs)
    folders = {}
    for seed, steps in enumerate((2, 1)):
        folder = tmp_path / f"train-{seed}"
        folder.mkdir()
        spec = TrainingSpec(
            pairs,
            folder,
            student=student_config(base_folder, adapter="full"),
            training=training_config(max_steps=steps, learning_rate=1e-3),
            k=2,
            seed=seed,
            micro_batch_size=4,
        )

        def report(metrics: dict[str, float], checkpoint: Path | None, to: Path = folder) -> None:
            append_metrics(to, metrics)

        write_summary(folder, train_student(spec, report))
        folders[f"train member {seed + 1} of 2"] = folder
    return folders


def context_of(inputs: dict[str, Path], output: Path) -> StepContext:
    output.mkdir()
    handle = SimpleNamespace(say=lambda text: None)
    config = parse_config({"training": {"members": 2}, **WHOLE})
    return StepContext(config, "key", inputs, output, None, handle)  # type: ignore[arg-type]


def test_the_student_has_the_mean_of_the_weights(members: dict[str, Path], tmp_path: Path) -> None:
    context = context_of({"prefer": tmp_path / "prefer-1", **members}, tmp_path / "train-mean")
    outcome = train.run(context)
    first, second, mean = [
        load_file(folder / "model.safetensors") for folder in (*members.values(), context.output)
    ]
    assert any(not torch.equal(first[name], second[name]) for name in first)
    for name, weight in mean.items():
        torch.testing.assert_close(weight, (first[name] + second[name]) / 2)
    student = load_student(context.output)
    assert student.info.lineage["train member 2 of 2"] == "train-1"
    assert student.info.lineage["prefer"] == "prefer-1"
    assert outcome.facts["steps"] == 3


def test_its_records_are_those_of_all_members(members: dict[str, Path], tmp_path: Path) -> None:
    context = context_of(members, tmp_path / "train-mean")
    for _ in range(2):  # also where an interrupted average is made again
        train.run(context)
    summaries = [read_summary(folder) for folder in (*members.values(), context.output)]
    seen = [summary.metrics["tokens_seen"] for summary in summaries]
    assert seen[2] == seen[0] + seen[1]
    rows = read_metrics_lines(context.output)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[-1]["tokens_seen"] == seen[2]
    taught = pq.read_table(context.output / TAUGHT)
    assert sum(taught["times"].to_pylist()) == 12
    assert taught["preference_id"].to_pylist() == sorted(set(taught["preference_id"].to_pylist()))


def test_students_that_have_no_mean_are_refused(
    members: dict[str, Path], base_folder: Path, tmp_path: Path
) -> None:
    first, second = members.values()
    (second / "adapter_config.json").write_text("{}")
    with pytest.raises(TrainingError, match="found an adapter"):
        average_students([first, second], tmp_path / "mean", {})
    (second / "adapter_config.json").unlink()
    weights = load_file(second / "model.safetensors")
    weights.popitem()
    save_file(weights, second / "model.safetensors")
    with pytest.raises(TrainingError, match="same base model"):
        average_students([first, second], tmp_path / "mean", {})
    with pytest.raises(TrainingError, match="expected a finished student"):
        read_info(tmp_path / "mean")


def test_the_first_member_is_the_training_alone() -> None:
    alone = parse_config({"seed": 3, **WHOLE})
    config = parse_config({"seed": 3, "training": {"members": 3}, **WHOLE})
    extras = trainings_of_members(config)
    assert list(extras) == [f"train member {number} of 3" for number in (1, 2, 3)]
    assert [extra.config.training_seed for extra in extras.values()] == [3, 4, 5]
    keys = [plan(extra.config)["train"].key for extra in extras.values()]
    assert keys[0] == plan(alone)["train"].key
    assert len({*keys, plan(config)["train"].key}) == 4
    assert trainings_of_members(alone) == {}


def test_campaigns_and_trials_train_one() -> None:
    one, two = [parse_config({"training": {"members": members}, **WHOLE}) for members in (1, 2)]
    assert plan(one)["tune"].key == plan(two)["tune"].key


def test_adapters_are_not_averaged() -> None:
    with pytest.raises(ConfigError, match=r"training\.members=2: expected student.adapter=full"):
        parse_config({"training": {"members": 2}})
