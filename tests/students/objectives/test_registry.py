"""The registry of objectives, and the setting that names them."""

from typing import get_args

from mint_ray.config.training import TrainingConfig
from mint_ray.students.objectives.registry import OBJECTIVES


def test_the_setting_allows_exactly_what_is_registered() -> None:
    assert set(get_args(TrainingConfig.model_fields["objective"].annotation)) == set(OBJECTIVES)
