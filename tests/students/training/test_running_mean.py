"""The student as the mean of its weights after the last steps of its training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mint_ray.config.load import parse_config
from mint_ray.errors import ConfigError
from mint_ray.students.engines.checkpoints import latest_good
from mint_ray.students.training.trainer import train
from mint_ray.students.training_spec import TrainingSpec
from tests.students.kept_checkpoints import keep_checkpoints
from tests.students.pairs import pair_row, student_config, training_config
from tests.students.training.test_trainer import Killed

STEPS = 4


@pytest.fixture
def pairs(write_pairs: Callable[[list[dict[str, Any]]], Path]) -> Path:
    return write_pairs([pair_row(number) for number in range(8)])


def run(
    pairs: Path,
    base: Path,
    out: Path,
    killed_at: int | None = None,
    resume_from: Path | None = None,
    **settings: Any,
) -> dict[str, torch.Tensor]:
    """Train the tiny model whole, with a checkpoint after each step; return the final weights."""
    keep = keep_checkpoints(out / "checkpoints", keep=STEPS)

    def report(metrics: dict[str, float], checkpoint: Path | None) -> None:
        keep(metrics, checkpoint)
        if metrics["step"] == killed_at:
            raise Killed

    settings = {"epochs": 2, "max_steps": STEPS, "schedule": "constant"} | settings
    training = training_config(checkpoint_steps=1, **settings)
    student = student_config(base, adapter="full")
    spec = TrainingSpec(pairs, out, student=student, training=training, k=2, seed=0)
    train(spec, report, resume_from)
    return load_file(out / "model.safetensors")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("engine", ["off", "zero2"])
def test_the_student_has_the_mean_of_the_last_weights(
    pairs: Path, base_folder: Path, tmp_path: Path, engine: str, precision: str
) -> None:
    settings = {"deepspeed": engine, "precision": precision}
    last = run(pairs, base_folder, tmp_path / "last", **settings)
    after = [
        load_file(tmp_path / "last" / "checkpoints" / f"step-{step:08d}" / "model.safetensors")
        for step in (2, 3, 4)
    ]
    mean = run(pairs, base_folder, tmp_path / "mean", averaged_share=0.75, **settings)
    assert any(not torch.equal(mean[name], last[name]) for name in last)
    for name, weight in mean.items():
        expected = torch.stack([weights[name].float() for weights in after]).mean(dim=0)
        torch.testing.assert_close(weight, expected.to(weight.dtype))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("killed_at", [1, 3, STEPS])
def test_a_killed_run_ends_in_the_same_mean(
    pairs: Path, base_folder: Path, tmp_path: Path, killed_at: int, precision: str
) -> None:
    settings = {"averaged_share": 0.75, "precision": precision}
    whole = run(pairs, base_folder, tmp_path / "whole", **settings)
    with pytest.raises(Killed):
        run(pairs, base_folder, tmp_path / "part", killed_at, **settings)
    start = latest_good(tmp_path / "part" / "checkpoints")
    assert start is not None
    assert start.name == f"step-{killed_at:08d}"
    part = run(pairs, base_folder, tmp_path / "part", None, start, **settings)
    assert all(torch.equal(part[name], weight) for name, weight in whole.items())


@pytest.mark.parametrize("settings", [{"deepspeed": "zero3"}, {"trainer": "trl"}])
def test_what_cannot_average_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"averaged_share=0\.5: expected"):
        parse_config({"training": {"averaged_share": 0.5, **settings}})
