"""The stage `cases` for tiles: every tile once, in parts, split by patients."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import CASE_SCHEMA
from mint_ray.cases.splits import check_no_leakage
from mint_ray.config.config import Config
from mint_ray.errors import DataError, MintError
from mint_ray.images.decode import open_tile
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.runtime.inference import CaseInference
from mint_ray.stages.cases import stage as cases
from mint_ray.stages.cases import tiles as tile_cases
from tests.cases.tiles.image_examples import GOOD, encode, noise

TILES = {"tissues": 3, "patients_per_tissue": 4, "tiles_per_patient": 2, "side": 64}


def context(out: Path, settings: dict[str, Any]) -> StepContext:
    config = Config.model_validate({"task": "tissue", "cases": settings})
    task = SimpleNamespace(say=lambda text: None)
    out.mkdir()
    return StepContext(config, "key", {}, out, None, task)  # type: ignore[arg-type]


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., StepOutcome]:
    """The stage in this process: the actor is called as Ray Data would call it."""

    def in_parts(
        job: CaseInference, source: Path, output: Path, resources: object, only: Any = None
    ) -> list[pa.Table]:
        done = job.actor(**job.arguments)(pq.read_table(source, columns=list(job.columns)))
        rows = [row for row in done.to_pylist() if only is None or row["case_id"] in only]
        ordered = sorted(rows, key=lambda row: row["case_id"])
        table = pa.Table.from_pylist(ordered, done.schema).select(job.schema.names)
        return [table.slice(0, 5), table.slice(5)]

    monkeypatch.setattr(tile_cases, "infer_in_order", in_parts)
    monkeypatch.setattr(tile_cases, "infer", lambda *args: pa.concat_tables(in_parts(*args)))
    monkeypatch.setattr(tile_cases, "begin_session", lambda resources, say: None)
    return lambda settings: cases.run(context(tmp_path / "out", settings))


def table(tmp_path: Path, name: str = "cases") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(tmp_path / "out" / f"{name}.parquet").to_pylist()
    return rows


def test_what_cannot_be_used_is_counted_before_splits(
    run: Callable[..., StepOutcome], tmp_path: Path
) -> None:
    files = {f"{label}/p{i}/a.png": GOOD for label in ("Lung", "Colon") for i in range(6)}
    bad = {"Lung/p0/bad.png": b"?", "Brain/p9/a.png": GOOD, "Skin/p8/a.png": b"", "x.png": GOOD}
    root = write(tmp_path / "images", files | bad)
    settings = {"source": "images", "path": str(root), "min_label_groups": 2}
    outcome = run({**settings, "folds": 3})
    assert outcome.rejected == {"image_unreadable": 2, "too_few_groups": 1, "no_label": 1}
    assert (outcome.rows_in, outcome.rows_out) == (16, 12)
    assert outcome.facts["splits"] == {"train": 4, "validation": 4, "test": 4}
    rows = table(tmp_path)
    check_no_leakage(rows)
    assert Counter((row["label_name"], row["split"]) for row in rows)["Lung", "test"] == 2
    assert {row["image"] for row in rows} == {GOOD}
    assert all(row["seen"] and row["note"] == "" and row["terms"] == [] for row in rows)
    catalogue = Catalogue.read(tmp_path / "out" / "catalogue.parquet")
    assert catalogue.ids == ("TISSUE:colon", "TISSUE:lung")
    assert catalogue.names == ("Colon", "Lung")
    assert not (tmp_path / "out" / "work").exists()


def test_nothing_to_use(run: Callable[..., StepOutcome], tmp_path: Path) -> None:
    root = write(tmp_path / "images", {"Lung/p/a.png": b"?"})
    with pytest.raises(DataError, match="no usable tile among 1") as caught:
        run({"source": "images", "path": str(root)})
    assert caught.value.counts == {"image_unreadable": 1}


def test_stated_splits_are_kept_and_said(run: Callable[..., StepOutcome], tmp_path: Path) -> None:
    splits = {"train": 3, "val": 1, "test": 2}
    files = {
        f"{split}/{label}/{number}.png": GOOD
        for split, count in splits.items()
        for label in ("ADI", "STR")
        for number in range(count)
    }
    root = write(tmp_path / "images", files)
    outcome = run({"source": "images", "path": str(root)})
    assert outcome.facts["splits"] == {"train": 6, "validation": 2, "test": 4}
    assert outcome.facts["reading"] == "folders: split (test, train, val) / label (ADI, STR)"
    assert {row["label_name"] for row in table(tmp_path)} == {"ADI", "STR"}
    assert all(row["seen"] for row in table(tmp_path))


@pytest.mark.parametrize(
    ("splits", "settings", "message"),
    [
        (("train", "val"), {}, "found none of test"),
        (("test",), {}, "found none of train"),
        (("train", "test"), {"folds": 3}, r"cases\.folds=3"),
    ],
)
def test_stated_splits_that_cannot_be_kept(
    run: Callable[..., StepOutcome],
    tmp_path: Path,
    splits: tuple[str, ...],
    settings: dict[str, Any],
    message: str,
) -> None:
    files = {f"{split}/{label}/1.png": GOOD for split in splits for label in ("ADI", "STR")}
    root = write(tmp_path / "images", files)
    with pytest.raises(MintError, match=message + ".*skip"):
        run({"source": "images", "path": str(root), **settings})


def test_one_name_for_each_tissue(run: Callable[..., StepOutcome], tmp_path: Path) -> None:
    names = ("Bile_duct", "BILE DUCT", "bile-duct")
    files = {f"{name}/{name}{i}/a.png": GOOD for name in names for i in range(3)}
    run({"source": "images", "path": str(write(tmp_path / "images", files))})
    assert {row["label_name"] for row in table(tmp_path)} == {"Bile duct"}


def test_large_images_are_written_in_small_row_groups(
    run: Callable[..., StepOutcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tile_cases, "LARGE_BYTES", 1000)
    monkeypatch.setattr(tile_cases, "LARGE_ROW_GROUP", 2)
    files = {f"Lung/p{i}/a.png": encode(noise(seed=i)) for i in range(8)}
    run({"source": "images", "path": str(write(tmp_path / "images", files))})
    file = pq.ParquetFile(tmp_path / "out" / "cases.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(5)] == [2, 2, 1, 2, 1]


@pytest.mark.cluster
@pytest.mark.usefixtures("ray_cluster")
def test_drawn_tiles_on_ray(tmp_path: Path) -> None:
    step = context(tmp_path / "out", {"source": "tiles", "tiles": TILES})
    outcome = cases.run(step)
    assert (outcome.rows_in, outcome.rows_out, outcome.facts["groups"]) == (24, 24, 12)
    written = pq.read_table(tmp_path / "out" / "cases.parquet")
    assert written.schema.equals(CASE_SCHEMA)
    rows = written.to_pylist()
    assert [row["case_id"] for row in rows] == sorted({row["case_id"] for row in rows})
    check_no_leakage(rows)
    assert all(not isinstance(open_tile(row["image"]), str) for row in rows)
    assert all(row["description"].startswith("H&E tile") for row in rows)
    assert len(Catalogue.read(tmp_path / "out" / "catalogue.parquet")) == 3
    again = cases.run(context(tmp_path / "again", {"source": "tiles", "tiles": TILES}))
    assert again.facts == outcome.facts
    assert pq.read_table(tmp_path / "again" / "cases.parquet").equals(written)
    assert (tmp_path / "out" / "excluded_publications.txt").read_text() == ""
