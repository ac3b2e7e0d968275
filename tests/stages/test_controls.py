"""What the controls read and write, without a model."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.config import Config, ResourcesConfig
from mint_ray.evaluation.controls import derange
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.stages.controls import ColourReader, ask_control, choose_controls, write_shuffled
from mint_ray.stages.rankers import ranking_depth, shift_stains, student_columns
from mint_ray.steps import StepContext
from mint_ray.students.prompts import DISEASE, TISSUE


def tile(seed: int, colour: tuple[int, int, int] = (180, 120, 180)) -> bytes:
    rng = np.random.default_rng(seed)
    pixels = np.clip(rng.normal(colour, 25, size=(24, 24, 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def cases() -> pa.Table:
    """Red and blue tiles of ten patients, two each; one test image is damaged."""
    rows = []
    for place in range(20):
        red = place // 2 % 2
        case = blank_case(f"c{place:02}", "tiles")
        case["group_id"] = f"p{place // 2}"
        case["split"] = "train" if place < 12 else "test"
        case["label_id"] = "TISSUE:red" if red else "TISSUE:blue"
        case["image"] = tile(place, (190, 70, 70) if red else (70, 70, 190))
        rows.append(case)
    rows[-1]["image"] = b"damaged"
    return pa.Table.from_pylist(rows, CASE_SCHEMA)


@pytest.fixture
def context(cases: pa.Table, tmp_path: Path) -> StepContext:
    (tmp_path / "cases").mkdir()
    (tmp_path / "out").mkdir()
    pq.write_table(cases, tmp_path / "cases" / "cases.parquet", row_group_size=3)
    config = Config.model_validate(
        {"task": "tissue", "cases": {"source": "tiles"}, "resources": {"actors": 1}}
    )
    inputs = {"cases": tmp_path / "cases"}
    return StepContext(config, "key", inputs, tmp_path / "out", None, None)  # type: ignore[arg-type]


def test_shuffled_cases_keep_everything_but_the_image(
    cases: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mint_ray.stages.controls._ROWS", 3)
    source, target = tmp_path / "cases.parquet", tmp_path / "shuffled.parquet"
    pq.write_table(cases, source, row_group_size=7)
    tested = cases.slice(12)
    donors = derange(tested["case_id"].to_pylist(), tested["group_id"].to_pylist(), 0)
    write_shuffled(source, target, donors, student_columns(TISSUE))
    written = pq.read_table(target)
    assert set(written.column_names) == set(student_columns(TISSUE))
    images = dict(zip(cases["case_id"].to_pylist(), cases["image"].to_pylist(), strict=True))
    own = {row["case_id"]: row for row in tested.to_pylist()}
    assert written["case_id"].to_pylist() == sorted(own)
    for row in written.to_pylist():
        assert row["image"] == images[donors[row["case_id"]]] != images[row["case_id"]]
        assert row["label_id"] == own[row["case_id"]]["label_id"]
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".arrow"] == []


def test_unusable_images_have_no_colours(cases: pa.Table) -> None:
    read = ColourReader()(cases.slice(18)).to_pylist()
    assert [len(row["colours"]) for row in read] == [6, 0]


def test_one_group_is_stained_alike(cases: pa.Table) -> None:
    same = pa.array([cases["image"][0].as_py()] * 4, pa.binary())
    table = cases.slice(0, 4).set_column(cases.column_names.index("image"), "image", same)
    shifted = shift_stains(table, 5)["image"].to_pylist()
    assert shifted[0] == shifted[1] != shifted[2] == shifted[3]
    assert shifted[0] != same[0].as_py()
    assert shift_stains(table, None) is table


def test_controls_belong_to_images(context: StepContext, cases: pa.Table) -> None:
    assert choose_controls(context, cases) == [
        ("mean_colour", ""),
        ("student", "_stain"),
        ("student", "_shuffled"),
        ("teacher", "_stain"),
    ]
    assert ("student", "_shuffled") not in choose_controls(context, cases.slice(0, 1))
    off = {"task": "tissue", "cases": {"source": "tiles"}, "evaluation": {"controls": False}}
    assert choose_controls(replace(context, config=Config.model_validate(off)), cases) == []
    assert choose_controls(replace(context, config=Config()), cases) == []


def test_small_catalogues_of_tissues_are_ranked_whole() -> None:
    assert ranking_depth("tissue", 19, 5) == 19
    assert ranking_depth("tissue", 500, 5) == 5
    assert ranking_depth("disease", 19, 5) == 5
    assert student_columns(TISSUE)[-1] == "image"
    assert student_columns(DISEASE)[-1] == "note"


@pytest.mark.cluster
@pytest.mark.usefixtures("ray_cluster")
def test_mean_colour_is_fitted_to_training_tiles(context: StepContext, cases: pa.Table) -> None:
    catalogue = Catalogue(
        Label(f"TISSUE:{name.lower()}", name, (f"TISSUE:{name.lower()}",), (), ())
        for name in ("Blue", "Red")
    )
    assert context.config.resources == ResourcesConfig(actors=1)
    tested = cases.slice(12)
    found = ask_control(context, "mean_colour", "", cases, tested, catalogue, "mean_colour")
    first = {row["case_id"]: row["label_id"] for row in found.to_pylist() if row["rank"] == 1}
    known = dict(zip(tested["case_id"].to_pylist(), tested["label_id"].to_pylist(), strict=True))
    assert first == {case_id: label for case_id, label in known.items() if case_id != "c19"}
