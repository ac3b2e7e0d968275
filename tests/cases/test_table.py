"""A user's own table: defaults, rejections, and errors that name the column."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import ParsedCase, RejectedCase
from mint_ray.cases.splits import join_groups
from mint_ray.cases.table import read_case_table
from mint_ray.errors import DataError


def write(tmp_path: Path, columns: dict[str, list[object]]) -> Path:
    pq.write_table(pa.table(columns), tmp_path / "mine.parquet")
    return tmp_path / "mine.parquet"


def test_missing_columns_have_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, {"case_id": ["a"], "note": ["Short stature."], "ward": ["7"]})
    (item,) = read_case_table(path)
    assert isinstance(item, ParsedCase)
    assert item.case["group_id"] == "a"
    assert (item.case["terms"], item.case["sex"], item.case["image"]) == ([], "unknown", None)
    assert item.case["source"] == "parquet"


def test_unusable_rows_are_rejected_with_a_reason(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"case_id": ["a", "a", None, "d"], "note": ["Ataxia.", "Ataxia.", "Ataxia.", " "]},
    )
    rejected = [item for item in read_case_table(path) if isinstance(item, RejectedCase)]
    assert [item.reason for item in rejected] == ["duplicate_id", "no_id", "no_modality"]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"note": ["x"]}, "expected a column case_id"),
        ({"case_id": ["a"], "terms": [7]}, "column terms should be list"),
    ],
)
def test_a_wrong_schema_names_the_column(
    tmp_path: Path, columns: dict[str, list[object]], expected: str
) -> None:
    with pytest.raises(DataError, match=expected):
        list(read_case_table(write(tmp_path, columns)))


def test_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "mine.parquet").write_text("case_id,note\n")
    with pytest.raises(DataError, match="expected a parquet table of cases"):
        list(read_case_table(tmp_path / "mine.parquet"))


def test_blank_publications_are_dropped(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {
            "case_id": ["a", "b"],
            "note": ["Ataxia.", "Ataxia."],
            "publications": [["", "PMID:1", None], [" "]],
        },
    )
    cases = [item.case for item in read_case_table(path) if isinstance(item, ParsedCase)]
    assert [case["publications"] for case in cases] == [["PMID:1"], []]


def test_a_stated_group_survives_its_publications(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {
            "case_id": ["a", "b", "c"],
            "note": ["Ataxia."] * 3,
            "group_id": ["family", "family", None],
            "publications": [["PMID:1"], ["PMID:2"], ["PMID:2"]],
        },
    )
    cases = [item.case for item in read_case_table(path) if isinstance(item, ParsedCase)]
    assert {case["group_id"] for case in join_groups(cases)} == {"PMID:1"}
