"""Which teacher is fitted how, and which is refused before any work."""

import pytest

from mint_ray.config.config import Config
from mint_ray.errors import ConfigError
from mint_ray.teachers.registry import FITTERS, epochs_of, find_fitter
from tests.teachers.tissue import run_config


@pytest.mark.parametrize("name", FITTERS)
def test_every_teacher_has_a_fit_of_its_task(name: str) -> None:
    of_disease = FITTERS[name].task == "disease"
    config = Config.model_validate({"teacher": {"name": name}}) if of_disease else run_config(name)
    assert callable(find_fitter(config).load())


def test_an_unknown_teacher_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"teacher\.name=plip: expected one of fusion, neighbours, clip"
    ):
        find_fitter(run_config("plip"))


def test_a_teacher_of_another_task_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"teacher\.name=fusion .* expected clip or clip_fusion"):
        find_fitter(run_config("fusion"))
    with pytest.raises(ConfigError, match=r"teacher\.name=clip .* expected fusion or neighbours"):
        find_fitter(Config.model_validate({"teacher": {"name": "clip"}}))


def test_impossible_settings_are_refused_before_any_work() -> None:
    with pytest.raises(ConfigError, match="fit=none"):
        find_fitter(run_config("clip", fit="none"))


@pytest.mark.parametrize(("fit", "expected"), [("none", 0), ("probe", 1), ("contrastive", 6)])
def test_progress_knows_how_many_reports_come(fit: str, expected: int) -> None:
    assert epochs_of(run_config("clip", fit=fit)) == expected


def test_templates_without_the_label_are_refused() -> None:
    with pytest.raises(ValueError, match="templates"):
        run_config("clip", templates=["a tissue"])
