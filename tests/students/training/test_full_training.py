"""Full fine-tuning: from training to ranking, over checkpoints, with and without DeepSpeed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mint_ray.errors import ConfigError
from mint_ray.students.export import export_student
from mint_ray.students.student import load_on_shared_base, load_student
from mint_ray.students.student_folder import student_files
from mint_ray.students.training.trainer import train
from mint_ray.students.training_spec import TrainingSpec
from tests.students.kept_checkpoints import keep_checkpoints
from tests.students.pairs import pair_row, student_config, training_config

WritePairs = Callable[[list[dict[str, Any]]], Path]


@pytest.fixture
def pairs(write_pairs: WritePairs) -> Path:
    return write_pairs([pair_row(number) for number in range(12)])


def fit(
    pairs: Path, base: Path, out: Path, resume_from: Path | None = None, **settings: Any
) -> list[float]:
    """Train the tiny model and return the losses of its steps."""
    losses: list[float] = []
    keep = keep_checkpoints(out / "checkpoints")

    def report(metrics: dict[str, float], checkpoint: Path | None) -> None:
        losses.append(metrics["loss"])
        keep(metrics, checkpoint)

    student = settings.pop("student", {})
    training = training_config(**{"learning_rate": 3e-3, "epochs": 4} | settings)
    spec = TrainingSpec(
        pairs,
        out,
        student=student_config(base, **{"adapter": "full"} | student),
        training=training,
        k=2,
        seed=0,
        micro_batch_size=2,
    )
    train(spec, report, resume_from)
    return losses


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_whole_model_is_trained_and_loaded(
    pairs: Path, base_folder: Path, tmp_path: Path, precision: str
) -> None:
    losses = fit(pairs, base_folder, tmp_path / "out", precision=precision)
    assert losses[-1] < 0.7 * losses[0]
    assert {"config.json", "model.safetensors"} < set(student_files(tmp_path / "out"))
    student = load_student(tmp_path / "out", "cpu", "float32")
    assert student.adapter is None


def test_float32_weights_make_bfloat16_learn_as_float32(
    pairs: Path, base_folder: Path, tmp_path: Path
) -> None:
    exact = fit(pairs, base_folder, tmp_path / "a", learning_rate=1e-3, epochs=8)
    half = fit(
        pairs, base_folder, tmp_path / "b", learning_rate=1e-3, epochs=8, precision="bfloat16"
    )
    assert half[-1] == pytest.approx(exact[-1], rel=0.05)


@pytest.mark.parametrize("engine", ["off", "zero2"])
def test_a_killed_run_continues_from_its_checkpoint(
    pairs: Path, base_folder: Path, tmp_path: Path, engine: str
) -> None:
    settings: dict[str, Any] = {"precision": "bfloat16", "deepspeed": engine}
    whole = fit(pairs, base_folder, tmp_path / "a", checkpoint_steps=4, **settings)
    start = tmp_path / "a" / "checkpoints" / "step-00000008"
    rest = fit(pairs, base_folder, tmp_path / "b", start, checkpoint_steps=4, **settings)
    assert rest == whole[8:]
    one, two = (load_student(tmp_path / run, "cpu").model.state_dict() for run in ("a", "b"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_whole_student_continues_and_an_adapter_does_not_fit(
    pairs: Path, base_folder: Path, tmp_path: Path
) -> None:
    first = fit(pairs, base_folder, tmp_path / "a")
    start = {"init_adapter": tmp_path / "a"}
    second = fit(pairs, base_folder, tmp_path / "b", student=start, epochs=1)
    assert second[0] < 0.8 * first[0]
    with pytest.raises(ConfigError, match=r"student\.adapter=lora.*no adapter_config\.json"):
        fit(pairs, base_folder, tmp_path / "c", student=start | {"adapter": "lora"})


def test_a_whole_student_shares_no_base_and_is_exported(
    pairs: Path, base_folder: Path, tmp_path: Path
) -> None:
    fit(pairs, base_folder, tmp_path / "whole", epochs=1)
    fit(pairs, base_folder, tmp_path / "lora", epochs=1, student={"adapter": "lora"})
    whole, lora = (load_student(tmp_path / run, "cpu") for run in ("whole", "lora"))
    assert load_on_shared_base(whole, tmp_path / "lora") is None
    assert load_on_shared_base(lora, tmp_path / "whole") is None
    export_student(tmp_path / "whole", tmp_path / "exported")
    exported = (tmp_path / "exported" / "model.safetensors").stat().st_size
    assert exported == (tmp_path / "whole" / "model.safetensors").stat().st_size
