"""Continuation of a run from a checkpoint that another release wrote."""

from pathlib import Path
from typing import Any

import pytest
import torch

from mint_ray.config.training import StudentConfig, TrainingConfig
from mint_ray.students.data.pair_table import UsableRows
from mint_ray.students.models.base_models import BaseModel
from mint_ray.students.training.resume import fingerprint
from mint_ray.students.training_spec import TrainingSpec

BASE = BaseModel("base", "base", "r", is_local=True)
USABLE = UsableRows(examples=(), lengths=(), rejected={}, shortened=0, digest="d")


def of(**settings: Any) -> str:
    training = TrainingConfig.model_validate(settings)
    spec = TrainingSpec(Path("pairs"), Path("out"), StudentConfig(), training, 2, 0, 2)
    return fingerprint(spec, BASE, USABLE, torch.float32)


def test_a_newer_setting_with_its_default_leaves_checkpoints_resumable() -> None:
    """Where this fails, add the setting to `_NEWER_SETTINGS`: its default is what runs had."""
    assert of() == "282e3c00adde9d7e"


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({"max_tokens": 10_000}, True),
        ({"watch": {"cases": 5}}, False),
        ({"max_steps": 8, "trials": {"learning_rates": [1e-4, 1e-3]}}, False),
    ],
)
def test_what_changes_the_result_counts(settings: dict[str, Any], counts: bool) -> None:
    plain = {"max_steps": settings.get("max_steps")}
    assert (of(**settings) != of(**plain)) is counts
