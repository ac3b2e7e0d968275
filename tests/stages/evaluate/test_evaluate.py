"""Runs and names of the systems, rows of a ranking."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from mint_ray.config.config import Config
from mint_ray.stages.evaluate.systems import name_student, plan_runs
from mint_ray.stages.workers.rankers import RANKED_SCHEMA, predictions_of


def test_predictions_keep_rank_label_and_probability() -> None:
    listed = [{"rank": 1, "label_id": "OMIM:1", "text": "One", "probability": 0.75}]
    row = {"case_id": "c", "listed": listed, "generated": [], "worst": [], "shortened": False}
    ranked = pa.Table.from_pylist([row], RANKED_SCHEMA)
    assert predictions_of(ranked, "orpo").to_pylist() == [
        {"case_id": "c", "system": "orpo", **listed[0]}
    ]
    assert predictions_of(ranked, "orpo_generated", "generated").num_rows == 0


def test_a_student_is_named_after_the_one_it_continued_from(tmp_path: Path) -> None:
    info = {"base_model": "m", "base_revision": None, "k": 2, "max_prompt_length": 9}
    content = {"format": 1, "max_length": 9, "objective": "orpo", **info}
    (tmp_path / "student.json").write_text(json.dumps(content))
    assert name_student("cft", tmp_path) == "orpo_cft"
    assert name_student("dpo", tmp_path) == "dpo"


def test_an_adapter_of_another_program_gives_no_name(tmp_path: Path) -> None:
    assert name_student("cft", tmp_path) == "cft"
    assert name_student("rcft", None) == "rcft"


def runs_of(evaluation: dict[str, Any], *, images: bool = True, n_tested: int = 9) -> list[str]:
    task = {"task": "tissue", "cases": {"source": "tiles"}} if images else {}
    plan = plan_runs(Config.model_validate(task | {"evaluation": evaluation}), "dpo", n_tested)
    for system, runs in plan.items():
        assert {run.system for run in runs} == {system.name}
    return [run.name for runs in plan.values() for run in runs]


def test_a_teacher_of_recorded_scores_is_not_asked_about_changed_images() -> None:
    tissue = {"task": "tissue", "cases": {"source": "tiles"}}
    teachers = ({"name": "clip"}, {"name": "scores", "scores": {"path": "s.csv"}})
    configs = [Config.model_validate(tissue | {"teacher": teacher}) for teacher in teachers]
    names = [
        [run.name for runs in plan_runs(c, "dpo", 9).values() for run in runs] for c in configs
    ]
    assert set(names[0]) - set(names[1]) == {"teacher_stain"}


def test_systems_are_asked_in_the_order_of_the_setting() -> None:
    assert runs_of({}, images=False) == ["majority", "base", "dpo", "teacher"]
    assert runs_of({"systems": ["teacher", "majority"]}, images=False) == ["teacher", "majority"]


def test_language_models_also_answer_freely() -> None:
    assert runs_of({"generate_cases": 1}, images=False) == [
        "majority",
        "base",
        "base_generated",
        "dpo",
        "dpo_generated",
        "teacher",
    ]


def test_a_larger_model_also_answers_freely() -> None:
    evaluation = {"systems": ["larger"], "larger_model": "/models/larger", "generate_cases": 1}
    assert runs_of(evaluation, images=False) == ["larger", "larger_generated"]


def test_a_larger_model_has_to_be_named() -> None:
    with pytest.raises(ValidationError, match="expected larger_model"):
        runs_of({"systems": ["larger"]}, images=False)


def test_controls_belong_to_images() -> None:
    assert runs_of({}) == [
        "majority",
        "base",
        "dpo",
        "dpo_stain",
        "dpo_shuffled",
        "teacher",
        "teacher_stain",
        "mean_colour",
    ]
    assert runs_of({"controls": False}) == ["majority", "base", "dpo", "teacher"]
    assert runs_of({"systems": ["majority"]}) == ["majority", "mean_colour"]


def test_a_single_case_has_no_other_image_to_show() -> None:
    assert "dpo_shuffled" not in runs_of({}, n_tested=1)
    assert "dpo_stain" in runs_of({}, n_tested=1)
