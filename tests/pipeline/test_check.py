"""Checks of a whole config that its own validation cannot make."""

import pytest

from mint_ray.config.config import Config
from mint_ray.errors import ConfigError
from mint_ray.pipeline.check import check_config

TISSUE = {"task": "tissue", "cases": {"source": "tiles"}, "teacher": {"name": "clip"}}


def test_look_ups_of_patients_are_refused_for_tissue() -> None:
    systems = {"evaluation": {"systems": ["majority", "neighbours", "knowledge"]}}
    check_config(Config.model_validate(systems))
    check_config(Config.model_validate(TISSUE))
    with pytest.raises(ConfigError, match=r"evaluation\.systems: knowledge, neighbours .* leave"):
        check_config(Config.model_validate(TISSUE | systems))


def test_a_fused_ranking_is_refused_for_tissue() -> None:
    tissue = {"task": "tissue", "cases": {"source": "tiles"}, "teacher": {"name": "clip"}}
    config = Config.model_validate({**tissue, "promotion": {"ranking": "fused"}})
    with pytest.raises(ConfigError, match=r"promotion\.ranking=fused.*task=tissue"):
        check_config(config)
