"""The record of a comparison: order of rows, and whose lists and rejections count."""

from mint_ray.evaluation.answers import Answers, SystemAnswers
from mint_ray.evaluation.metrics.teacher_agreement import TeacherLists
from mint_ray.evaluation.predictions import PREDICTION_SCHEMA
from mint_ray.evaluation.systems import Perturbation, SystemRun
from tests.evaluation.conftest import predictions_of


def answers_of(*runs: SystemRun) -> SystemAnswers:
    return SystemAnswers(
        {run: predictions_of([("a", run.name, 1, "OMIM:1", "Alpha", 1.0)]) for run in runs}
    )


def test_rows_of_unperturbed_cases_come_first() -> None:
    stain = SystemRun("orpo", Perturbation.STAIN)
    free = SystemRun("orpo", free=True)
    answers = Answers(
        {
            "orpo": answers_of(SystemRun("orpo"), free, stain),
            "teacher": answers_of(SystemRun("teacher")),
        },
        "orpo",
    )
    names = ["orpo", "orpo_generated", "teacher", "orpo_stain"]
    assert [run.name for run in answers.runs] == names
    assert answers.predictions["system"].to_pylist() == names
    assert answers.predictions_of([stain])["system"].to_pylist() == ["orpo_stain"]


def test_no_run_has_no_rows() -> None:
    answers = Answers({}, "orpo")
    assert answers.predictions.equals(PREDICTION_SCHEMA.empty_table())
    assert answers.teacher_lists is None
    assert answers.of_student.shortened == 0


def test_rejections_are_those_of_the_student_or_else_of_its_base_model() -> None:
    base, student = SystemAnswers({}, shortened=1), SystemAnswers({}, shortened=2)
    majority = SystemAnswers({})
    assert Answers({"orpo": student, "base": base}, "orpo").of_student is student
    assert Answers({"majority": majority, "base": base}, "orpo").of_student is base


def test_the_teacher_brings_its_lists() -> None:
    lists = TeacherLists(["a"], [["OMIM:1"]], [["OMIM:2"]], frozenset({"orpo"}), depth=1)
    systems = {"orpo": SystemAnswers({}), "teacher": SystemAnswers({}, teacher_lists=lists)}
    assert Answers(systems, "orpo").teacher_lists is lists
