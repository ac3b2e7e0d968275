from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.errors import DataError
from mint_ray.evaluation.predictions import (
    majority_predictions,
    rank_scores,
    read_predictions,
    validate_predictions,
    write_predictions,
)
from tests.evaluation.conftest import predictions_of

LABELS = ["OMIM:1", "OMIM:2", "OMIM:3"]
NAMES = ["Alpha", "Beta", "Gamma"]


def rank(scores: list[list[float]], known: list[int | None], top_k: int = 2) -> list[dict]:
    case_ids = [f"case{i}" for i in range(len(scores))]
    with np.errstate(divide="ignore"):
        logs = np.log(scores)
    return rank_scores("s", case_ids, logs, LABELS, NAMES, known, top_k).to_pylist()


def test_write_and_read_keep_every_row(tmp_path: Path, predictions: pa.Table) -> None:
    write_predictions(tmp_path / "out" / "predictions.parquet", predictions)
    assert read_predictions(tmp_path / "out" / "predictions.parquet").equals(predictions)
    assert read_predictions(tmp_path / "out").equals(predictions)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["predictions.parquet"]


def test_bad_rows_are_counted_by_reason() -> None:
    table = predictions_of(
        [
            ("a", "s", 0, None, "x", 0.1),
            ("a", "s", 1, None, "x", 1.5),
            ("a", "s", 1, None, "y", float("nan")),
            ("a", "s", 2, None, "z", None),
        ]
    )
    with pytest.raises(DataError, match="4 predictions") as caught:
        validate_predictions(table)
    assert caught.value.counts == {
        "rank_below_1": 1,
        "probability_out_of_range": 2,
        "duplicate_rank": 1,
    }


def test_missing_column_and_value_are_named(predictions: pa.Table) -> None:
    with pytest.raises(DataError, match="lack the columns probability"):
        validate_predictions(predictions.drop_columns(["probability"]))
    holes = predictions.set_column(1, "system", pa.array([None] * predictions.num_rows, "string"))
    with pytest.raises(DataError) as caught:
        validate_predictions(holes)
    assert caught.value.counts == {"missing_value": predictions.num_rows}


def test_wrong_type_is_an_error(predictions: pa.Table) -> None:
    words = pa.array(["first"] * predictions.num_rows)
    with pytest.raises(DataError, match="wrong type"):
        validate_predictions(predictions.set_column(2, "rank", words))


def test_unreadable_files_say_what_to_do(tmp_path: Path, predictions: pa.Table) -> None:
    with pytest.raises(DataError, match="run the evaluate stage"):
        read_predictions(tmp_path / "none.parquet")
    with pytest.raises(DataError, match="found none"):
        read_predictions(tmp_path)
    file = tmp_path / "cut.parquet"
    pq.write_table(predictions, file)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a readable parquet"):
        read_predictions(file)


def test_rank_scores_lists_the_best_and_the_known_answer() -> None:
    rows = rank([[0.5, 0.2, 0.3], [0.1, 0.2, 0.7]], known=[0, 0])
    assert [(r["case_id"], r["rank"], r["label_id"]) for r in rows] == [
        ("case0", 1, "OMIM:1"),
        ("case0", 2, "OMIM:3"),
        ("case1", 1, "OMIM:3"),
        ("case1", 2, "OMIM:2"),
        ("case1", 3, "OMIM:1"),
    ]
    assert rows[4]["probability"] == pytest.approx(0.1)
    assert rows[4]["text"] == "Alpha"


def test_rank_scores_without_known_answer_in_the_catalogue() -> None:
    assert len(rank([[0.5, 0.2, 0.3]], known=[None])) == 2


def test_rank_scores_breaks_ties_by_label_order() -> None:
    rows = rank([[0.25, 0.5, 0.25]], known=[2])
    assert [(r["rank"], r["label_id"]) for r in rows] == [
        (1, "OMIM:2"),
        (2, "OMIM:1"),
        (3, "OMIM:3"),
    ]


@pytest.mark.parametrize("known", [0, 1, 2])
def test_the_order_of_labels_never_favours_a_known_answer_that_ties(known: int) -> None:
    rows = rank([[0.3, 0.3, 0.3]], known=[known])
    assert {r["rank"]: r["label_id"] for r in rows}[3] == LABELS[known]
    assert [r["rank"] for r in rows] == [1, 2, 3]


@pytest.mark.parametrize("known", [1, 2])
@pytest.mark.parametrize("top_k", [2, 3])
def test_labels_without_an_answer_are_not_listed(known: int, top_k: int) -> None:
    floor = float(np.float32(np.log(0.1)))
    scores = np.array([[np.log(0.8), floor, floor]], np.float32)
    rows = rank_scores("s", ["c"], scores, LABELS, NAMES, [known], top_k, floor).to_pylist()
    ranked = [(r["rank"], r["label_id"]) for r in rows]
    assert ranked == [(1, LABELS[0]), (max(3, top_k + 1), LABELS[known])]
    assert rows[1]["probability"] == pytest.approx(0.1)


def test_unscored_case_gets_no_rows() -> None:
    rows = rank([[np.nan, 0.5, 0.5], [1.0, 0.0, 0.0]], known=[0, 2])
    assert {r["case_id"] for r in rows} == {"case1"}
    assert rows[-1]["rank"] == 3
    assert rows[-1]["probability"] == 0.0


def test_rank_scores_over_several_chunks_equals_single_rows() -> None:
    scores = np.log(np.random.default_rng(0).dirichlet([1.0] * 3, size=600))
    case_ids = [str(i) for i in range(600)]
    known = [i % 3 for i in range(600)]
    together = rank_scores("s", case_ids, scores, LABELS, NAMES, known, 1)
    apart = [
        rank_scores("s", [case_ids[i]], scores[i : i + 1], LABELS, NAMES, [known[i]], 1)
        for i in (0, 255, 256, 599)
    ]
    rows = together.to_pylist()
    for single in apart:
        assert all(row in rows for row in single.to_pylist())


def test_majority_answers_training_labels_by_count() -> None:
    cases = pa.table({"case_id": ["a", "b"], "label_id": ["OMIM:3", "OMIM:7"]})
    counts = {"OMIM:1": 1, "OMIM:2": 2, "OMIM:3": 1, "OMIM:7": 0}
    rows = majority_predictions(counts, cases, 1, {"OMIM:2": "Beta"}).to_pylist()
    assert [(r["case_id"], r["rank"], r["label_id"], r["probability"]) for r in rows] == [
        ("a", 1, "OMIM:2", pytest.approx(0.5)),
        ("b", 1, "OMIM:2", pytest.approx(0.5)),
        ("a", 3, "OMIM:3", pytest.approx(0.25)),
    ]
    assert rows[0]["text"] == "Beta"


def test_majority_needs_training_cases() -> None:
    cases = pa.table({"case_id": ["a"], "label_id": ["OMIM:3"]})
    with pytest.raises(DataError, match="at least one training case"):
        majority_predictions({}, cases, 1, {})
