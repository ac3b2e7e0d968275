"""Callbacks of Ray Train that a training starts with."""

import pytest
from ray.train import RunConfig, ScalingConfig

from mint_ray.runtime.ray_train import _Trainer

NOT_HERE = {"DatasetsCallback", "PlacementGroupCleanerCallback"}


@pytest.mark.parametrize(
    ("on_own_ray", "left_out"), [(True, NOT_HERE), (False, {"DatasetsCallback"})]
)
def test_processes_without_work_are_not_started(on_own_ray: bool, left_out: set[str]) -> None:
    scaling, run = ScalingConfig(num_workers=1), RunConfig(name="training")
    trainer = _Trainer(print, scaling_config=scaling, run_config=run)
    trainer.on_own_ray = on_own_ray
    every = super(_Trainer, trainer)._create_default_callbacks()
    kept = {type(callback).__name__ for callback in trainer._create_default_callbacks()}
    assert {type(callback).__name__ for callback in every} - kept == left_out
