"""`mint diff`: what changed between two evaluations."""

from pathlib import Path

import pytest

from mint_ray.commands.diff import difference_lines
from mint_ray.errors import ConfigError
from tests.evaluation.evaluated import RIGHT, finish, write_cases, write_evaluation

WRONG = {**RIGHT, "c": "OMIM:1", "d": "OMIM:2"}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    write_cases(tmp_path)
    first = write_evaluation(tmp_path, "evaluate-1", {"orpo": WRONG, "base": WRONG, "old": WRONG})
    second = write_evaluation(tmp_path, "evaluate-2", {"orpo": RIGHT, "base": WRONG, "new": RIGHT})
    return first, second


def test_systems_that_both_have_are_compared_case_by_case(folders: tuple[Path, Path]) -> None:
    lines = list(difference_lines(*folders))
    assert lines[0] == "4 cases in both"
    assert [line for line in lines if line.startswith(("Base", "ORPO"))] == [
        "Base model: 0 of 4 cases have another rank; first answer newly right 0, newly wrong 0; "
        "else better 0, worse 0",
        "ORPO student: 2 of 4 cases have another rank; first answer newly right 2, newly wrong 0; "
        "else better 0, worse 0",
    ]
    assert lines[-2:] == ["  right  c  OMIM:3  rank 2 -> 1", "  right  d  OMIM:1  rank 2 -> 1"]
    (unseen,) = [line for line in lines[-6:] if "not seen" in line]
    assert "n = 2: Top-1, macro +50.0 [" in unseen
    assert unseen.endswith("McNemar p 1")


def test_two_systems_of_different_names_are_compared(folders: tuple[Path, Path]) -> None:
    lines = list(difference_lines(*folders, systems=("old", "new"), most=1))
    assert lines[2].startswith("old -> new: 2 of 4 cases")
    assert lines[-2:] == ["  right  c  OMIM:3  rank 2 -> 1", "  and 1 more (--cases 2 lists all)"]
    back = list(difference_lines(folders[1], folders[0], systems=("new", "old")))
    assert back[-1] == "  wrong  d  OMIM:1  rank 1 -> 2"


def test_cases_of_one_alone_are_left_out_and_counted(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    limits = {"max_cases": 2}
    fewer = write_evaluation(tmp_path, "evaluate-3", {"orpo": RIGHT}, limits=limits)
    lines = list(difference_lines(folders[0], fewer))
    assert lines[0] == "2 cases in both, 2 in one of the two only"


def test_cases_that_one_side_could_not_rank_are_misses(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    half = write_evaluation(tmp_path, "evaluate-3", {"orpo": {"a": "OMIM:1", "b": "OMIM:2"}})
    lines = list(difference_lines(folders[1], half))
    assert lines[0] == "4 cases in both"
    assert lines[2].startswith("ORPO student: 2 of 4 cases have another rank; first answer newly ")
    assert "newly wrong 2" in lines[2]
    assert "Top-1 \N{MINUS SIGN}50.0 [" in lines[3]


def test_free_answers_are_compared_on_the_cases_that_have_them(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    systems = {"orpo": RIGHT, "orpo_generated": {"a": "OMIM:1"}}
    free = write_evaluation(tmp_path, "evaluate-3", systems, limits={"generate_cases": 1})
    lines = list(difference_lines(folders[1], free, systems=("orpo", "orpo_generated")))
    assert lines[2].startswith("ORPO student -> ORPO student, generated: 0 of 1 cases have another")
    none = write_evaluation(tmp_path, "evaluate-4", {"orpo_generated": {"a": "OMIM:1"}})
    with pytest.raises(ConfigError, match="a case that both orpo and orpo_generated were asked"):
        list(difference_lines(folders[1], none, systems=("orpo", "orpo_generated")))


def test_what_cannot_be_compared_is_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = folders
    finish(tmp_path / "cases-1", "cases", inputs={}, config={})
    with pytest.raises(ConfigError, match=r"expected the folder of a finished .*, found cases"):
        list(difference_lines(first, tmp_path / "cases-1"))
    with pytest.raises(ConfigError, match=r"found no finished step; `mint path"):
        list(difference_lines(tmp_path, second))
    with pytest.raises(ConfigError, match="evaluate-2 has no system old; expected one of base"):
        list(difference_lines(first, second, systems=("old", "old")))
    strange = write_evaluation(tmp_path, "evaluate-4", {"dpo": RIGHT})
    with pytest.raises(
        ConfigError, match="expected a system in both, found base, old, orpo and dpo"
    ):
        list(difference_lines(first, strange))
    finish(strange, "evaluate", inputs={"cases": "cases-2"}, config={})
    with pytest.raises(ConfigError, match="same cases, found cases-1 for evaluate-1 and cases-2"):
        list(difference_lines(first, strange))
