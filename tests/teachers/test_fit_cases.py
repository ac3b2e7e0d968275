"""Teachers are fitted to the same cases with and without cases that were made from these."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.patients.renderings import render_cases
from mint_ray.cases.schema import CASE_SCHEMA, Case, blank_case
from mint_ray.config.cases import RenderingConfig
from mint_ray.config.config import Config
from mint_ray.knowledge.catalogue import catalogue_of
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.base import load_teacher
from mint_ray.teachers.cross_fit import plan_folds, write_fold_cases
from mint_ray.teachers.fit_cases import fit_folder
from mint_ray.teachers.neighbours.fit import fit_neighbours

TERMS = ["HP:0001250", "HP:0000508", "HP:0004322", "HP:0001252", "HP:0001263"]


@pytest.fixture
def originals() -> list[Case]:
    splits = ["train"] * 6 + ["validation"] * 2 + ["test"]
    return [
        {**blank_case(f"c{i}", "invented"), "split": split, "label_id": f"OMIM:{i % 2 + 1}"}
        | {"terms": TERMS[i % 3 : i % 3 + 3]}  # type: ignore[misc]
        for i, split in enumerate(splits)
    ]


def write(folder: Path, cases: list[Case]) -> Path:
    folder.mkdir()
    rows = sorted(cases, key=lambda case: case["case_id"])
    pq.write_table(pa.Table.from_pylist(rows, CASE_SCHEMA), folder / "cases.parquet")
    catalogue_of({"OMIM:1": "One", "OMIM:2": "Two"}).write(folder / "catalogue.parquet")
    (folder / "excluded_publications.txt").write_text("PMID:1\n")
    return folder


@pytest.fixture
def folders(tmp_path: Path, originals: list[Case]) -> tuple[Path, Path]:
    """The cases without renderings and with them."""
    made = render_cases(originals, load_ontology(), RenderingConfig(), 3, seed=0)
    assert len(made) == 12
    return write(tmp_path / "plain", originals), write(tmp_path / "rendered", originals + made)


def test_a_fit_is_the_same_with_and_without_renderings(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    revisions = set()
    for cases in folders:
        with fit_folder(cases, tmp_path / "scratch") as source:
            out = tmp_path / f"of {cases.name}"
            fit_neighbours(source, Config(), out, lambda report: None)
        revisions.add(load_teacher(out).revision)
        assert not (tmp_path / "scratch").exists()
    assert len(revisions) == 1
    fit_neighbours(folders[1], Config(), tmp_path / "all", lambda report: None)
    assert load_teacher(tmp_path / "all").revision not in revisions  # or nothing would be shown


def test_cases_without_renderings_are_read_where_they_are(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    with fit_folder(folders[0], tmp_path / "scratch") as source:
        assert source == folders[0]
    assert folders[0].exists()


def test_folds_are_the_same_with_and_without_renderings(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    plain, rendered = folders
    fold_of = plan_folds(plain / "cases.parquet", 3, 0)
    assert plan_folds(rendered / "cases.parquet", 3, 0) == fold_of
    tables = []
    for cases in folders:
        write_fold_cases(cases, frozenset({"c1"}), tmp_path / "fold")
        tables.append(pq.read_table(tmp_path / "fold" / "cases.parquet"))
    assert tables[0].equals(tables[1])
    assert tables[0].num_rows == 7
