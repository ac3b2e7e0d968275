"""Tests of the stage `train` that need no Ray."""

from pathlib import Path

import pytest

from mint_ray.stages.train import missing_start


@pytest.mark.parametrize(
    ("objective", "usual"), [("dpo", "sft"), ("cft", "orpo"), ("rcft", "orpo")]
)
def test_a_training_without_its_usual_start_is_said(objective: str, usual: str) -> None:
    warning = missing_start(objective, None)
    assert warning is not None
    assert f"training.objective={objective}" in warning
    assert f"an {usual} student" in warning
    assert "student.init_adapter" in warning


def test_there_is_nothing_to_warn_of_with_a_start_or_without_a_need() -> None:
    assert missing_start("dpo", Path("sft-student")) is None
    assert missing_start("orpo", None) is None
    assert missing_start("sft", None) is None
