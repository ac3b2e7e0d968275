"""Answers that are permuted between the cases of one known answer."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mint_ray.errors import DataError
from mint_ray.students.data.pair_table import PairTable
from mint_ray.students.data.permuted import answer_rows
from tests.students.pairs import pair_row


def pairs_of(*rows: tuple[str, str, str | None]) -> pa.Table:
    return pa.table(
        dict(zip(("case_id", "group_id", "label_id"), zip(*rows, strict=True), strict=True))
    )


def test_each_case_takes_the_answers_of_another_group_with_its_label() -> None:
    cases = [(f"{label}{n}", f"{label}{n // 3}", label) for label in "AB" for n in range(12)]
    taken = answer_rows(pairs_of(*cases), seed=0).tolist()
    assert sorted(taken) == list(range(24))
    for row, other in enumerate(taken):
        assert cases[row][2] == cases[other][2]
        assert cases[row][1] != cases[other][1]
    assert answer_rows(pairs_of(*cases), seed=1).tolist() != taken


def test_rejected_sets_stay_together() -> None:
    rows = [(case, case, "A") for case in ("p", "p", "q", "q")]
    assert answer_rows(pairs_of(*rows), seed=0).tolist() == [2, 3, 0, 1]


def test_a_case_without_another_group_or_label_keeps_its_own() -> None:
    alone = [("p", "g", "A"), ("q", "g", "A"), ("r", "h", "B"), ("s", "i", None), ("t", "k", None)]
    assert answer_rows(pairs_of(*alone), seed=0).tolist() == [0, 1, 2, 3, 4]


def test_a_table_reads_prompts_with_the_answers_of_others(
    write_pairs: Callable[[list[dict[str, Any]]], Path],
) -> None:
    path = write_pairs([pair_row(number, label_id="OMIM:1") for number in range(6)])
    own, permuted = PairTable(path), PairTable(path, permuted_by=0)
    for number in range(6):
        assert permuted.row(number)["prompt"] == own.row(number)["prompt"]
        assert permuted.row(number)["chosen"] != own.row(number)["chosen"]
        assert permuted.row(number)["preference_id"] == own.row(number)["preference_id"]
    for column in ("chosen", "rejected"):
        found, expected = (
            Counter(str(table.row(number)[column]) for number in range(6))
            for table in (permuted, own)
        )
        assert found == expected


def test_a_table_without_known_answers_cannot_be_permuted(
    write_pairs: Callable[[list[dict[str, Any]]], Path],
) -> None:
    with pytest.raises(DataError, match="expected the column `label_id`"):
        PairTable(write_pairs([pair_row(0)]), permuted_by=0)
