"""The stage `prefer` with images: what it writes, and what it writes again."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import CASE_SCHEMA, SPLITS, blank_case
from mint_ray.config.config import Config
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.preferences.schema import preference_schema
from mint_ray.stages import prefer
from mint_ray.tasks.task import TISSUE
from tests.stages.test_prefer import save_unfitted
from tests.students.vision_cases import TISSUES, picture

IDS = [f"TISSUE:{name.lower()}" for name in TISSUES]
IMAGES: dict[str, bytes | None] = {f"tile-{i:02d}": picture(i) for i in range(30)}
BAD = {"tile-07": picture(7)[:99], "tile-11": picture(11, 8, 8), "tile-20": b"<svg/>"}
SOUND = sorted(IMAGES.keys() - BAD.keys())


@pytest.fixture
def context(tmp_path: Path) -> StepContext:
    """Thirty tiles, three of them damaged, and a teacher that has learned nothing."""
    folders = {name: tmp_path / name for name in ("cases", "teach", "prefer")}
    for folder in folders.values():
        folder.mkdir()
    labels = [Label(i, name, (i,), (), ()) for i, name in zip(IDS, TISSUES, strict=True)]
    Catalogue(labels).write(folders["cases"] / "catalogue.parquet")
    save_unfitted(folders["teach"], Catalogue(labels))
    rows = [
        {
            **blank_case(case_id, "tiles"),
            "split": SPLITS[place % 2],  # and no test case
            "label_id": IDS[place % 4],
            "image": BAD.get(case_id, image),
        }
        for place, (case_id, image) in enumerate(IMAGES.items())
    ]
    table = pa.Table.from_pylist(rows, CASE_SCHEMA)
    pq.write_table(table, folders["cases"] / "cases.parquet", row_group_size=7)
    config = Config.model_validate(
        {
            "task": "tissue",
            "cases": {"source": "tiles"},
            # The whole catalogue is named.
            "preferences": {
                "chosen_size": 2,
                "rejected_size": 1,
                "rejected_sets": 2,
                "gold": "first",
                "batch_size": 4,
            },
            "resources": {"actors": 1},
        }
    )
    task = SimpleNamespace(say=lambda text: None)
    return StepContext(config, "key", folders, folders["prefer"], None, task)  # type: ignore[arg-type]


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@pytest.mark.usefixtures("actors_here")
def test_images_go_with_their_pairs_also_when_resumed(context: StepContext) -> None:
    outcome = prefer.run(context)
    check(context.output, outcome)
    first = content(context.output)
    assert set(first) == {*(f"{s}.parquet" for s in SPLITS), "rejected.parquet", "README.md"}
    scored = sorted((context.output / "scored").glob("*.parquet"))
    assert all("image" not in str(pq.read_schema(file)) for file in scored)
    scored[0].unlink()
    (context.output / "train.parquet").unlink()
    (context.output / ".test.parquet.0.partial").write_bytes(b"torn")
    again = prefer.run(context)  # the speed alone may differ
    assert replace(again, metrics={}) == replace(outcome, metrics={})
    assert content(context.output) == first


def check(output: Path, outcome: StepOutcome) -> None:
    """Every sound case has its two pairs with its image; every other one its reason."""
    tables = [pq.read_table(output / f"{split}.parquet") for split in SPLITS]
    assert all(table.schema.equals(preference_schema(TISSUE)) for table in tables)
    assert outcome.facts["pairs"] == {
        split: table.num_rows for split, table in zip(SPLITS, tables, strict=True)
    }
    rows = pa.concat_tables(tables).sort_by("preference_id").to_pylist()
    assert [row["preference_id"] for row in rows] == [f"{c}#{w}" for c in SOUND for w in (0, 1)]
    for row in rows:
        assert row["images"] == [{"bytes": IMAGES[row["case_id"]], "path": None}]
        assert row["chosen_labels"][0] == row["label_id"]
        assert len({*row["chosen_labels"], *row["rejected_labels"]}) == 3
    rejected = pq.read_table(output / "rejected.parquet").to_pylist()
    assert {row["case_id"]: row["reason"] for row in rejected} == {
        "tile-07": "image_unreadable",
        "tile-11": "image_too_small",
        "tile-20": "image_unreadable",
    }
    assert (outcome.rows_in, outcome.rows_out) == (30, 54)
    card = (output / "README.md").read_text(encoding="utf-8")
    assert "| image_unreadable | 2 |" in card
    assert "histology" in card
    assert "disease" not in card
