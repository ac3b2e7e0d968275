"""Which teacher is fitted how, and which is refused before any work."""

import pytest

from mint_ray.config.config import Config
from mint_ray.errors import ConfigError
from mint_ray.teachers.registry import FITTERS, epochs_of, find_fitter, misses_reports
from tests.teachers.tissue import run_config

OUTSIDE = {
    "scores": {"path": "scores.parquet"},
    "endpoint": {"base_url": "http://localhost:1/v1", "model": "m"},
}


CASES = {
    "disease": {"source": "simulated"},
    "gene": {"source": "simulated"},
    "own": {"source": "notes", "path": "notes.csv", "answers": "answers.csv"},
    "tissue": {"source": "tiles"},
}


@pytest.mark.parametrize("name", FITTERS)
def test_every_teacher_has_a_fit_of_its_tasks(name: str) -> None:
    sections = {name: OUTSIDE[name]} if name in OUTSIDE else {}
    for task in FITTERS[name].tasks:
        tree = {"task": task, "cases": CASES[task], "teacher": {"name": name, **sections}}
        assert callable(find_fitter(Config.model_validate(tree)).load())


def test_an_unknown_teacher_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError,
        match=r"teacher\.name=plip: expected one of fusion, knowledge, stacked, neighbours",
    ):
        find_fitter(run_config("plip"))


def test_a_teacher_of_another_task_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"teacher\.name=fusion .* expected clip or clip_fusion"):
        find_fitter(run_config("fusion"))
    with pytest.raises(ConfigError, match=r"teacher\.name=clip .* expected fusion or knowledge"):
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


@pytest.mark.parametrize("teacher", [n for n, f in FITTERS.items() if "disease" in f.tasks])
def test_only_some_teachers_read_laboratory_reports(teacher: str) -> None:
    def misses(modalities: str) -> bool:
        outside = {teacher: OUTSIDE[teacher]} if teacher in OUTSIDE else {}
        tree = {"teacher": {"name": teacher, **outside}, "cases": {"modalities": modalities}}
        return misses_reports(Config.model_validate(tree))

    assert misses("laboratory_in_report") == (teacher not in ("stacked", "endpoint", "scores"))
    assert not misses("face_only_in_image")
