"""Parts of the training groups: dealing, the cases of a fold, and what the folder says."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.errors import TeacherError
from mint_ray.teachers.base import write_manifest
from mint_ray.teachers.cross_fit import (
    Folds,
    deal_groups,
    fold_folder,
    plan_folds,
    read_folds,
    write_fold_cases,
    write_folds,
)


def write_cases(folder: Path, cases: list[dict[str, Any]], excluded: str = "PMID:1\n") -> Path:
    rows = [blank_case(f"case-{i}", "invented") | case for i, case in enumerate(cases)]
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows, CASE_SCHEMA), folder / "cases.parquet")
    (folder / "catalogue.parquet").write_bytes(b"catalogue")
    (folder / "excluded_publications.txt").write_text(excluded)
    return folder


CASES: list[dict[str, Any]] = [
    {"group_id": "a", "split": "train", "publications": ["PMID:11"]},
    {"group_id": "b", "split": "train", "publications": ["PMID:12", "PMID:13"]},
    {"group_id": "c", "split": "validation", "publications": ["PMID:14"]},
    {"group_id": "d", "split": "test", "publications": ["PMID:15"]},
    {"group_id": "a", "split": "train", "publications": ["PMID:16"]},
    {"group_id": "e", "split": None, "publications": []},
]


def test_groups_are_dealt_evenly_at_random_and_in_any_order() -> None:
    groups = [f"group {number}" for number in range(103)]
    dealt = deal_groups(groups, 5, seed=0)
    assert sorted(Counter(dealt.values()).values()) == [20, 20, 21, 21, 21]
    assert deal_groups([*groups[::-1], *groups], 5, seed=0) == dealt
    assert deal_groups(groups, 5, seed=1) != dealt


def test_only_training_groups_are_dealt(tmp_path: Path) -> None:
    cases = write_cases(tmp_path / "cases", CASES) / "cases.parquet"
    for parts in (2, 5):  # no more parts than groups
        fold_of = plan_folds(cases, parts, 0)
        assert sorted(fold_of) == ["a", "b"]
        assert sorted(fold_of.values()) == [0, 1]
    assert plan_folds(cases, 0, 0) == {}


def test_a_single_training_group_cannot_be_left_out(tmp_path: Path) -> None:
    rows = [{**case, "group_id": "a"} for case in CASES if case["split"] == "train"]
    assert plan_folds(write_cases(tmp_path / "cases", rows) / "cases.parquet", 5, 0) == {}


def test_a_fold_lacks_its_groups_and_what_only_their_publications_say(tmp_path: Path) -> None:
    source, out = write_cases(tmp_path / "cases", CASES), tmp_path / "fold"
    write_fold_cases(source, frozenset({"a", "d"}), out)
    kept = pq.read_table(out / "cases.parquet")
    assert kept.schema.equals(CASE_SCHEMA)
    assert kept["case_id"].to_pylist() == ["case-1", "case-2"]
    assert (out / "catalogue.parquet").read_bytes() == b"catalogue"
    # Those of group d stay as they were: it is a test group, which the step has judged already.
    excluded = (out / "excluded_publications.txt").read_text().split()
    assert excluded == ["PMID:1", "PMID:11", "PMID:16"]


def test_the_folder_says_which_teacher_ranks_a_case(tmp_path: Path) -> None:
    for fold in (0, 1):
        fold_folder(tmp_path, fold).mkdir(parents=True)
        write_manifest(fold_folder(tmp_path, fold), "invented", [], {"fold": fold})
    written = write_folds(tmp_path, {"a": 0, "b": 1})
    folds = read_folds(tmp_path)
    assert folds == written
    assert folds.of_cases(["a", "b", "a", "x"], ["train", "train", "test", None]) == [
        0,
        1,
        None,
        None,
    ]
    with pytest.raises(TeacherError, match=r"every training group .* found 1 that are not"):
        folds.of_cases(["a", "x"], ["train", "train"])
    write_manifest(fold_folder(tmp_path, 1), "invented", [], {"fold": "another"})
    with pytest.raises(TeacherError, match="expected the teacher of revision"):
        read_folds(tmp_path)


def test_a_teacher_without_parts_ranks_everything(tmp_path: Path) -> None:
    assert read_folds(tmp_path) == Folds({}, ())
    assert read_folds(tmp_path).of_cases(["a"], ["train"]) == [None]
