import pytest

from mint_ray.evaluation.systems import (
    Perturbation,
    SystemRun,
    control_meaning,
    in_order,
    is_control,
    split_variant,
    student_system,
    system_title,
)


def test_systems_come_in_the_order_of_tables() -> None:
    assert in_order(["zeta", "teacher", "orpo", "base", "majority"]) == [
        "majority",
        "base",
        "orpo",
        "teacher",
        "zeta",
    ]
    assert system_title("orpo_generated") == "ORPO student, generated"
    assert system_title("zeta") == "zeta"


@pytest.mark.parametrize(
    ("objective", "initial", "system"),
    [
        ("orpo", None, "orpo"),
        ("dpo", "sft", "dpo"),
        ("sft", None, "sft"),
        ("cft", "orpo", "orpo_cft"),
        ("rcft", "dpo", "dpo_rcft"),
        ("cft", None, "cft"),
        ("rcft", None, "rcft"),
    ],
)
def test_a_student_is_named_by_its_training(
    objective: str, initial: str | None, system: str
) -> None:
    assert student_system(objective, initial) == system
    assert system_title(system).endswith("student")


def test_controls_come_last_and_are_called_after_what_they_change() -> None:
    controls = ["teacher_stain", "orpo_shuffled", "orpo_stain", "mean_colour"]
    assert in_order([*controls, "orpo_generated", "teacher", "orpo"]) == [
        "orpo",
        "teacher",
        "orpo_generated",
        "orpo_shuffled",
        "orpo_stain",
        "teacher_stain",
        "mean_colour",
    ]
    assert [is_control(name) for name in [*controls, "orpo", "base_generated", "teacher"]] == [
        *[True] * 4,
        *[False] * 3,
    ]
    assert system_title("orpo_cft_stain") == "ORPO + CFT student, stain shifted"
    assert "another one" in control_meaning("orpo_shuffled")
    assert "colour" in control_meaning("mean_colour")


@pytest.mark.parametrize(
    ("run", "suffix"),
    [
        (SystemRun("orpo_cft"), ""),
        (SystemRun("orpo_cft", free=True), "_generated"),
        (SystemRun("orpo_cft", Perturbation.STAIN), "_stain"),
        (SystemRun("orpo_cft", Perturbation.SHUFFLED), "_shuffled"),
    ],
)
def test_the_name_of_a_run_is_read_back(run: SystemRun, suffix: str) -> None:
    assert run.name == f"orpo_cft{suffix}"
    assert split_variant(run.name) == ("orpo_cft", suffix)
    assert is_control(run.name) is (run.perturbation is not None)
