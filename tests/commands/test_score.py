"""`mint score`: predictions of any program, measured on the cases of an evaluation."""

from pathlib import Path

import pytest

from mint_ray.commands.score import score
from mint_ray.errors import DataError
from mint_ray.evaluation.predictions import write_predictions
from tests.evaluation.conftest import NAMES, Row, predictions_of
from tests.evaluation.evaluated import RIGHT, write_cases, write_evaluation


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


@pytest.mark.parametrize(
    ("rows", "message"),
    [([("t", "OMIM:1")], "1 other cases, such as t"), ([], "found 0 rows")],
)
def test_predictions_of_other_cases_are_refused(
    evaluation: Path, tmp_path: Path, rows: list[tuple[str, str]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        score(written(tmp_path, *rows), evaluation)
