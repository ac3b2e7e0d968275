"""`mint score`: predictions of any program, measured on the cases of an evaluation."""

from pathlib import Path

import pyarrow as pa
import pytest

from mint_ray.cli import main
from mint_ray.commands.evaluations import read_tested_of
from mint_ray.commands.score import score
from mint_ray.errors import ConfigError, DataError
from mint_ray.evaluation.predictions import write_predictions
from mint_ray.evaluation.split_list import (
    SPLIT_LIST_SCHEMA,
    read_split_list,
    write_split_list,
)
from tests.evaluation.conftest import NAMES, Row, predictions_of
from tests.evaluation.evaluated import RIGHT, finish, write_cases, write_evaluation


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    write_cases(tmp_path)
    return write_evaluation(tmp_path, "evaluate-1", {"orpo": RIGHT})


def written(tmp_path: Path, *rows: tuple[str, str]) -> Path:
    """A file with the first answer to each case."""
    file = tmp_path / "theirs.parquet"
    table: list[Row] = [(case, "theirs", 1, label, NAMES[label][0], 0.5) for case, label in rows]
    write_predictions(file, predictions_of(table))
    return file


def test_cases_without_a_prediction_are_misses(evaluation: Path, tmp_path: Path) -> None:
    file = written(tmp_path, ("a", RIGHT["a"]), ("b", "OMIM:1"))
    found = score(file, evaluation)["theirs"]["all"]["top1"]
    assert (found["value"], found["n"]) == (0.25, 4)


def test_tested_cases_that_no_system_could_rank_count_too(tmp_path: Path) -> None:
    write_cases(tmp_path)
    evaluation = write_evaluation(tmp_path, "evaluate-1", {"orpo": {"a": "OMIM:1"}})
    found = score(written(tmp_path, *RIGHT.items()), evaluation)["theirs"]["all"]["top1"]
    assert (found["value"], found["n"]) == (1.0, 4)


def test_predictions_are_measured_like_those_of_the_evaluation(tmp_path: Path) -> None:
    cases = write_cases(tmp_path)
    limits = {"max_cases": 2}
    evaluation = write_evaluation(tmp_path, "evaluate-1", {"orpo": RIGHT}, limits=limits)
    tested = read_tested_of(evaluation)
    found = score(written(tmp_path, (tested.case_ids[0], "OMIM:1")), evaluation)["theirs"]["all"]
    assert found["top1"]["n"] == 2
    finish(cases, "cases", {}, {"task": "tissue"})
    found = score(written(tmp_path, (tested.case_ids[0], "OMIM:1")), evaluation)["theirs"]["all"]
    assert "balanced_accuracy" in found


@pytest.mark.parametrize(
    ("rows", "message"),
    [([("t", "OMIM:1")], "1 other cases, such as t"), ([], "found 0 rows")],
)
def test_predictions_of_other_cases_are_refused(
    evaluation: Path, tmp_path: Path, rows: list[tuple[str, str]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        score(written(tmp_path, *rows), evaluation)


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """A list of one group a case, in which only c is seen and d is not tested."""
    rows = [
        {"case_id": case, "group_id": f"of {case}", "split": "test", "seen": case == "c"}
        | {"tested": case != "d", "seed": 0, "fold": None}
        for case in RIGHT
    ]
    train = {"case_id": "t", "group_id": "t", "split": "train", "seen": True, "tested": False}
    rows.append(train | {"seed": 0, "fold": None})
    file = tmp_path / "lists" / "split.csv"
    write_split_list(file, pa.Table.from_pylist(rows, SPLIT_LIST_SCHEMA))
    return file


def test_a_split_list_and_the_case_store_are_enough(tmp_path: Path, split: Path) -> None:
    cases = write_cases(tmp_path)
    finish(cases, "cases", {}, {})
    file = written(tmp_path, ("a", RIGHT["a"]), ("c", RIGHT["c"]))
    found = score(file, cases, split)["theirs"]
    assert (found["all"]["top1"]["value"], found["all"]["top1"]["n"]) == (pytest.approx(2 / 3), 3)
    assert found["all"]["top1_macro"]["n"] == 3  # the case store has a and b in one group
    assert (found["seen"]["top1"]["value"], found["seen"]["top1"]["n"]) == (1.0, 1)
    assert main(["score", str(file), str(cases), "--split", str(split)]) == 0
    with pytest.raises(ConfigError, match="finished evaluate or compare step, found cases"):
        score(file, cases)
    with pytest.raises(DataError, match="1 other cases, such as d"):
        score(written(tmp_path, ("d", RIGHT["d"])), cases, split)


def test_a_list_counts_in_place_of_what_an_evaluation_tested(
    evaluation: Path, tmp_path: Path, split: Path
) -> None:
    file = written(tmp_path, ("a", RIGHT["a"]))
    assert score(file, evaluation, split)["theirs"]["all"]["top1"]["n"] == 3


def test_a_list_of_another_case_store_is_refused(tmp_path: Path, split: Path) -> None:
    cases = write_cases(tmp_path)
    finish(cases, "cases", {}, {})
    rows = split.read_text().replace('"a"', '"z"', 1)
    split.write_text(rows)
    with pytest.raises(DataError, match=r"3 tested cases of the split list, found 2, without z"):
        score(written(tmp_path, ("c", RIGHT["c"])), cases, split)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("group_id", "group", "expected a CSV file with the columns case_id, group_id"),
        ('"b","of b"', '"a","of b"', "expected every case once, found 1 rows"),
        ('"t","t"', '"t","of a"', "expected every group in one split"),
        ("true,0", "false,0", "expected tested cases, found none"),
        ("true", "maybe", "found none that can be read"),
    ],
)
def test_a_damaged_list_is_named(split: Path, old: str, new: str, message: str) -> None:
    text = split.read_text()
    assert old in text
    split.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        read_split_list(split)


def test_identifiers_of_digits_stay_as_they_are(split: Path) -> None:
    split.write_text(split.read_text().replace('"a"', "007"))
    assert read_split_list(split)["case_id"].to_pylist()[0] == "007"
