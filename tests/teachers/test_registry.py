import pytest

from mint_ray.config.config import Config
from mint_ray.teachers.registry import FITTERS, misses_reports


def run_of(teacher: str, modalities: str) -> Config:
    config = Config.model_validate({"cases": {"source": "simulated", "modalities": modalities}})
    named = config.teacher.model_copy(update={"name": teacher})  # without its other settings
    return config.model_copy(update={"teacher": named})


@pytest.mark.parametrize("teacher", [n for n, f in FITTERS.items() if "disease" in f.tasks])
def test_only_some_teachers_read_laboratory_reports(teacher: str) -> None:
    reads = teacher in ("stacked", "endpoint", "scores")
    assert misses_reports(run_of(teacher, "laboratory_in_report")) == (not reads)
    assert not misses_reports(run_of(teacher, "face_only_in_image"))
