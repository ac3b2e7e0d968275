"""A list of splits: every case of the store, and which of them systems are measured on."""

from pathlib import Path

import pyarrow as pa

from mint_ray.evaluation.case_sample import SampledFrom
from mint_ray.evaluation.split_list import read_split_list, split_list, write_split_list


def test_a_list_names_cases_by_id_and_is_read_as_written(tmp_path: Path) -> None:
    columns = {
        "case_id": ['PMID:1_p, "x"', "b", "a", "010"],
        "group_id": ["PMID:1", "g", "NA", "PMID:1"],
        "split": ["test", "train", "validation", "test"],
        "seen": [True, True, None, False],
        "label_id": ["OMIM:1"] * 4,
    }
    cases = pa.table(columns)
    origin = SampledFrom("test", seed=3, fold=1, folds=5)
    rows = split_list(cases, cases.slice(3), origin)
    write_split_list(tmp_path / "split.csv", rows)
    assert "OMIM" not in (tmp_path / "split.csv").read_text()
    found = read_split_list(tmp_path / "split.csv")
    assert found.equals(rows)
    assert found.to_pylist()[0] == {
        "case_id": "010",
        "group_id": "PMID:1",
        "split": "test",
        "seen": False,
        "tested": True,
        "seed": 3,
        "fold": 1,
    }
    assert [row["tested"] for row in found.to_pylist()] == [True, False, False, False]
    plain = split_list(cases, cases, SampledFrom("test", seed=0))
    write_split_list(tmp_path / "plain.csv", plain)
    assert read_split_list(tmp_path / "plain.csv")["fold"].null_count == 4
