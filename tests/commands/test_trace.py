"""`mint trace`: an answer leads to the rows that taught its label, the nearest cases first."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import CASE_SCHEMA
from mint_ray.cli import main
from mint_ray.commands.trace import taught_rows, trace
from mint_ray.errors import ConfigError, DataError
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.students.training_spec import TAUGHT
from tests.evaluation.evaluated import RIGHT, finish, write_cases, write_evaluation

NOTES = {
    "a": "Seizures and a small head.",
    "b": "A heart murmur.",
    "c": "Pale skin.",
    "t1": "A murmur of the heart, and pale skin.",
    "t2": "Seizures since birth.",
    "t3": "Seizures, a small head, a heart murmur.",
}
ROWS = [("t1#0", ["OMIM:1"], ["OMIM:2"]), ("t2#0", ["OMIM:2"], ["OMIM:1"])]
ROWS += [("t3#0", ["OMIM:2", "OMIM:3"], ["OMIM:1"]), ("t3#1", ["OMIM:2"], ["OMIM:3"])]


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """The student answers RIGHT; it was trained by ORPO after SFT on the same pairs."""
    cases = write_cases(tmp_path)
    (blank,) = pq.read_table(cases / "cases.parquet").slice(0, 1).to_pylist()
    table: list[Any] = [blank | {"case_id": name, "note": note} for name, note in NOTES.items()]
    pq.write_table(pa.Table.from_pylist(table, CASE_SCHEMA), cases / "cases.parquet")
    pairs = tmp_path / "prefer-1"
    pairs.mkdir()
    rows = [
        {
            "preference_id": name,
            "case_id": name.split("#")[0],
            "group_id": name.split("#")[0],
            "label_id": "OMIM:1",
            "chosen_labels": chosen,
            "rejected_labels": rejected,
            "candidates": ["OMIM:1", "OMIM:2"],
        }
        for name, chosen, rejected in ROWS
    ]
    pq.write_table(pa.Table.from_pylist(rows), pairs / "train.parquet")
    first = write_train(tmp_path, "train-1", "sft", None)
    write_train(tmp_path, "train-2", "orpo", first)
    return write_evaluation(tmp_path, "evaluate-1", {"dpo": RIGHT}, "train-2", student="dpo")


def write_train(store: Path, name: str, objective: str, start: Path | None, **more: Any) -> Path:
    folder = store / name
    folder.mkdir()
    config = {
        "student": {"init_adapter": None if start is None else str(start)},
        "training": {"objective": objective, "sft_on": "chosen", "orpo_lambda": 0.1, **more},
    }
    finish(folder, "train", {"prefer": "prefer-1"}, config)
    return folder


def ids(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["training"], row["preference_id"]) for row in rows]


def test_an_answer_leads_to_the_rows_of_its_label_and_to_near_cases(
    evaluation: Path, tmp_path: Path
) -> None:
    out = tmp_path / "traces" / "trace.parquet"
    assert main(["trace", str(evaluation), str(out)]) == 0
    by_case = {row["case_id"]: row for row in pq.read_table(out).to_pylist()}
    assert set(by_case) == set(RIGHT)
    answer = by_case["b"]  # OMIM:2, a heart murmur
    assert (answer["system"], answer["label_id"]) == ("dpo", "OMIM:2")
    assert (answer["rows_for"], answer["rows_against"]) == (6, 1)
    sets = ["t3#0", "t3#1"]  # of the case that shares words with b, before t2
    wanted = [(train, name) for train in ("train-2", "train-1") for name in sets]
    assert ids(answer["nearest_for"])[:4] == wanted
    # SFT, which is traced too, rejects nothing.
    assert ids(answer["nearest_against"]) == [("train-2", "t1#0")]
    assert answer["nearest"][0]["preference_id"] in ("t1#0", "t3#0")
    similarities = [row["similarity"] for row in answer["nearest"]]
    assert similarities == sorted(similarities, reverse=True)
    assert by_case["d"]["rows_for"] == 2  # d has no text here, and its label rows


def test_only_rows_that_were_read_count(evaluation: Path, tmp_path: Path) -> None:
    for name, read in {"train-1": ["t2#0"], "train-2": ["t3#1"]}.items():
        table = pa.table({"preference_id": read, "times": [1]})
        pq.write_table(table, tmp_path / name / TAUGHT)
    rows = trace(evaluation, tmp_path / "trace.parquet", most=1).to_pylist()
    (answer,) = [row for row in rows if row["case_id"] == "b"]
    assert (answer["rows_for"], answer["rows_against"]) == (2, 0)
    assert ids(answer["nearest_for"]) == [("train-2", "t3#1")]


@pytest.mark.parametrize(
    ("objective", "more", "counts"),
    [
        ("cft", {}, {"OMIM:1": (4, 0), "OMIM:2": (0, 0)}),
        ("sft", {"sft_on": "answer"}, {"OMIM:1": (4, 0), "OMIM:2": (0, 0)}),
        ("sft", {}, {"OMIM:1": (1, 0), "OMIM:2": (3, 0)}),
        ("orpo", {"orpo_lambda": 0.0}, {"OMIM:1": (1, 0), "OMIM:2": (3, 0)}),
        # t1 to t3 have one known answer: each takes the lists of the case that follows.
        ("orpo", {"answers": "permuted"}, None),
    ],
)
def test_what_a_row_taught_depends_on_the_objective(
    evaluation: Path,
    tmp_path: Path,
    objective: str,
    more: dict[str, Any],
    counts: dict[str, tuple[int, int]] | None,
) -> None:
    write_train(tmp_path, "train-3", objective, None, **more)
    folder = write_evaluation(tmp_path, "e-2", {"x": RIGHT}, "train-3", student="x")
    rows = trace(folder, tmp_path / "trace.parquet", most=9).to_pylist()
    found = {row["label_id"]: (row["rows_for"], row["rows_against"]) for row in rows}
    if counts is not None:
        assert {label: found[label] for label in counts} == counts
        return
    plain = {row["preference_id"] for row in rows[0]["nearest_for"]}
    assert plain != {"t1#0"}  # the row that has OMIM:1 in its own list


def test_the_evaluation_may_be_the_working_directory(
    evaluation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(evaluation)
    assert trace(Path(), tmp_path / "trace.parquet").num_rows == len(RIGHT)


def test_what_cannot_be_traced_is_named(evaluation: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected the folder of a finished evaluate step"):
        trace(tmp_path / "train-1", tmp_path / "x.parquet")
    other = write_evaluation(tmp_path, "e-3", {"base": RIGHT}, "train-2", student="orpo")
    with pytest.raises(DataError, match="expected answers of its student orpo, found none"):
        trace(other, tmp_path / "x.parquet")


@pytest.mark.parametrize("by_beam", [False, True])
def test_a_calibration_taught_answers_that_were_among_its_candidates(
    evaluation: Path, tmp_path: Path, by_beam: bool
) -> None:
    pairs = tmp_path / "prefer-1" / "train.parquet"
    lists = [["OMIM:1", "OMIM:2"], ["OMIM:2", "OMIM:3"], ["OMIM:1"], ["OMIM:1"]]
    table = pq.read_table(pairs)
    at = table.column_names.index("candidates")
    pq.write_table(table.set_column(at, "candidates", pa.array(lists)), pairs)
    train = write_train(tmp_path, "train-3", "cft", None)
    if by_beam:
        ranked = tmp_path / "candidates-1"
        ranked.mkdir()
        of_case = {"case_id": ["t1", "t2"], "candidates": [["OMIM:3"], ["OMIM:2", "OMIM:1"]]}
        pq.write_table(pa.table(of_case), ranked / "candidates.parquet")
        inputs = {"prefer": "prefer-1", "candidates": "candidates-1"}
        config = {"student": {"init_adapter": None}, "training": {"objective": "cft"}}
        finish(train, "train", inputs, config)
    catalogue = Catalogue.read(tmp_path / "cases-1" / "catalogue.parquet")
    taught = [row.preference_id for row in taught_rows(train, catalogue) if row.wanted]
    assert taught == (["t2#0"] if by_beam else ["t1#0", "t3#0", "t3#1"])
