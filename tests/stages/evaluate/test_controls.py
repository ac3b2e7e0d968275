"""Perturbed cases and the control by mean colour, without a model."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.config.config import Config
from mint_ray.evaluation.metrics.controls import derange
from mint_ray.evaluation.perturbed_cases import (
    key_of,
    select_perturbation,
    shift_stains,
    write_perturbed_cases,
)
from mint_ray.evaluation.systems import Perturbation, SystemRun
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.stages.evaluate.controls import ColourReader, rank_by_mean_colour, write_perturbed
from mint_ray.stages.evaluate.rank import Comparison
from mint_ray.stages.workers.rankers import TEACHER_COLUMNS, ranking_depth, student_columns
from mint_ray.tasks.task import DISEASE, TISSUE


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
def comparison(cases: pa.Table, tmp_path: Path) -> Comparison:
    (tmp_path / "cases").mkdir()
    (tmp_path / "out").mkdir()
    pq.write_table(cases, tmp_path / "cases" / "cases.parquet", row_group_size=3)
    config = Config.model_validate(
        {"task": "tissue", "cases": {"source": "tiles"}, "resources": {"actors": 1}}
    )
    names = ("Blue", "Red")
    labels = [Label(f"TISSUE:{n.lower()}", n, (f"TISSUE:{n.lower()}",), (), ()) for n in names]
    return Comparison(
        config=config,
        inputs={"cases": tmp_path / "cases"},
        output=tmp_path / "out",
        all_cases=cases,
        tested=cases.slice(12),
        catalogue=Catalogue(labels),
        student="orpo",
    )


def test_every_case_is_written_under_each_perturbation(
    cases: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mint_ray.evaluation.perturbed_cases._ROWS", 3)
    source, target = tmp_path / "cases.parquet", tmp_path / "perturbed.parquet"
    pq.write_table(cases, source, row_group_size=7)
    tested = cases.slice(12)
    case_ids = tested["case_id"].to_pylist()
    donors = derange(case_ids, tested["group_id"].to_pylist(), 0)
    write_perturbed_cases(source, target, case_ids, donors, student_columns(TISSUE))
    written = pq.read_table(target)
    assert set(written.column_names) == set(student_columns(TISSUE))
    assert written.num_rows == 3 * len(case_ids)
    images = dict(zip(cases["case_id"].to_pylist(), cases["image"].to_pylist(), strict=True))
    rows_by_case = {row["case_id"]: row for row in tested.to_pylist()}
    for perturbation in (None, *Perturbation):
        rows = select_perturbation(written, perturbation, case_ids).to_pylist()
        assert [row["case_id"] for row in rows] == case_ids
        for row in rows:
            shuffled = perturbation is Perturbation.SHUFFLED
            shown = donors[row["case_id"]] if shuffled else row["case_id"]
            assert row["image"] == images[shown]
            assert row["label_id"] == rows_by_case[row["case_id"]]["label_id"]
    assert all(images[donors[case_id]] != images[case_id] for case_id in case_ids)
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".arrow"] == []
    write_perturbed_cases(source, target, case_ids[:1], {}, student_columns(TISSUE))
    assert pq.read_metadata(target).num_rows == 2  # nobody's image could be shown


def test_unusable_images_have_no_colours(cases: pa.Table) -> None:
    read = ColourReader()(cases.slice(18)).to_pylist()
    assert [len(row["colours"]) for row in read] == [6, 0]


def test_one_group_is_stained_alike(cases: pa.Table) -> None:
    same = pa.array([cases["image"][0].as_py()] * 5, pa.binary())
    table = cases.slice(0, 5).set_column(cases.column_names.index("image"), "image", same)
    stain = Perturbation.STAIN
    keys = [key_of(f"c{place}", stain if place < 4 else None) for place in range(5)]
    table = table.set_column(0, "case_id", pa.array(keys))
    shifted = shift_stains(table, 5)["image"].to_pylist()
    assert shifted[0] == shifted[1] != shifted[2] == shifted[3]
    assert shifted[0] != same[0].as_py() == shifted[4]
    plain = cases.slice(0, 5)
    assert shift_stains(plain, None) is plain


def test_perturbed_cases_hold_what_students_and_teachers_read(comparison: Comparison) -> None:
    write_perturbed(comparison)
    written = pq.read_table(comparison.perturbed_file)
    assert {*student_columns(TISSUE), *TEACHER_COLUMNS} == set(written.column_names)
    assert written.num_rows == 3 * len(comparison.tested_ids)


def test_small_catalogues_of_tissues_are_ranked_whole() -> None:
    assert ranking_depth("tissue", 19, 5) == 19
    assert ranking_depth("tissue", 500, 5) == 5
    assert ranking_depth("disease", 19, 5) == 5
    assert student_columns(TISSUE)[-1] == "image"
    assert student_columns(DISEASE)[-1] == "note"


@pytest.mark.usefixtures("actors_here")
def test_mean_colour_is_fitted_to_training_tiles(comparison: Comparison) -> None:
    run = SystemRun("mean_colour")
    rows = rank_by_mean_colour(comparison, [run]).predictions[run].to_pylist()
    first = {row["case_id"]: row["label_id"] for row in rows if row["rank"] == 1}
    known = {row["case_id"]: row["label_id"] for row in comparison.tested.to_pylist()}
    assert first == {case_id: label for case_id, label in known.items() if case_id != "c19"}
