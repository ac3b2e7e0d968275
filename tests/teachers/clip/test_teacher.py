"""The fitted tissue teachers: what they learn, and what they do with odd rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mint_ray.errors import TeacherError
from mint_ray.teachers.base import Teacher, bad_rows, load_manifest, load_teacher
from mint_ray.teachers.clip.fit import fit_clip
from tests.teachers.conftest import columns, top1
from tests.teachers.tissue import CATALOGUE, UNSEEN, cases, run_config, tile, write_cases

Fits = dict[str, tuple[Path, dict[str, float], list[dict[str, float]]]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cases(tmp_path_factory.mktemp("cases"), cases())


@pytest.fixture(scope="module")
def fits(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Fits:
    """Both teachers, fitted once."""
    found: Fits = {}
    for name in ("clip", "clip_fusion"):
        out, reports = tmp_path_factory.mktemp(name), list[dict[str, float]]()
        found[name] = out, fit_clip(source, run_config(name), out, reports.append), reports
    return found


@pytest.fixture(scope="module", params=["clip", "clip_fusion"])
def teacher(request: pytest.FixtureRequest, fits: Fits) -> Teacher:
    return load_teacher(fits[request.param][0])


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Tiles of patients that no fit has seen."""
    return cases(per_label=3, first=500)


def test_new_patients_are_recognised(teacher: Teacher, rows: list[dict[str, Any]]) -> None:
    assert top1(teacher, rows) > 0.75


@pytest.mark.parametrize("name", ["clip", "clip_fusion"])
def test_every_epoch_and_the_validation_split_are_reported(fits: Fits, name: str) -> None:
    _, metrics, reports = fits[name]
    assert [report["step"] for report in reports] == [1, 2, 3, 4, 5, 6]
    assert reports[-1]["loss"] < reports[0]["loss"]
    assert metrics["validation.top3"] > 0.7
    assert metrics["validation.nll"] > 0


def test_scores_are_log_probabilities(teacher: Teacher, rows: list[dict[str, Any]]) -> None:
    scores = teacher.score(columns(rows))
    assert scores.dtype == np.float32
    assert scores.shape == (len(rows), len(CATALOGUE))
    np.testing.assert_allclose(np.exp(scores.astype(float)).sum(axis=1), 1.0, atol=1e-5)


def test_a_label_without_an_image_scores_low_but_finite(
    teacher: Teacher, rows: list[dict[str, Any]]
) -> None:
    scores = teacher.score(columns(rows))
    unseen = scores[:, CATALOGUE.names.index(UNSEEN)]
    assert np.isfinite(unseen).all()
    assert (unseen < scores.max(axis=1)).all()


def test_bad_rows_are_nan_and_leave_the_others_alone(
    teacher: Teacher, rows: list[dict[str, Any]]
) -> None:
    good = rows[0]
    bad = [None, good["image"][:100], tile(2, 0, side=8), b"", "https://x.org"]
    batch = columns([good, *({**good, "image": image} for image in bad), good])
    scores = teacher.score(batch)
    assert bad_rows(scores).tolist() == [False, *[True] * len(bad), False]
    expected = ["image_missing", "image_unreadable", "image_too_small", *["image_unreadable"] * 2]
    assert teacher.unusable_reasons(batch) == ["", *expected, ""]
    np.testing.assert_allclose(scores[[0, -1]], teacher.score(columns([good, good])), atol=1e-4)


def test_an_empty_batch_has_no_scores(teacher: Teacher) -> None:
    assert teacher.score(columns([])).shape == (0, len(CATALOGUE))
    assert teacher.unusable_reasons(columns([])) == []


def test_a_row_does_not_depend_on_its_batch(teacher: Teacher, rows: list[dict[str, Any]]) -> None:
    together = teacher.score(columns(rows))
    alone = np.concatenate([teacher.score(columns([row])) for row in rows])
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_clip_does_not_read_the_description(fits: Fits, rows: list[dict[str, Any]]) -> None:
    teacher = load_teacher(fits["clip"][0])
    other = [{**row, "description": "Large round nuclei, area 1.0 um2, lumen 90%."} for row in rows]
    np.testing.assert_array_equal(teacher.score(columns(rows)), teacher.score(columns(other)))


def test_fusion_reads_the_description_and_falls_back_to_the_image(
    fits: Fits, rows: list[dict[str, Any]]
) -> None:
    fusion, clip = (load_teacher(fits[name][0]) for name in ("clip_fusion", "clip"))
    silent = [{**row, "description": ""} for row in rows]
    assert np.abs(fusion.score(columns(rows)) - fusion.score(columns(silent))).max() > 0.01
    np.testing.assert_array_equal(fusion.score(columns(silent)), clip.score(columns(rows)))


@pytest.mark.parametrize("text", ["nuclei", "1 2 3 4 5 6 7", "9" * 400 + " 2.5", "\ud800\x00", " "])
def test_any_description_is_taken(fits: Fits, rows: list[dict[str, Any]], text: str) -> None:
    scores = load_teacher(fits["clip_fusion"][0]).score(columns([{**rows[0], "description": text}]))
    assert np.isfinite(scores).all()


def test_the_same_seed_gives_the_same_teacher(fits: Fits, source: Path, tmp_path: Path) -> None:
    fit_clip(source, run_config("clip"), tmp_path, lambda metrics: None)
    first, again = load_manifest(fits["clip"][0]), load_manifest(tmp_path)
    assert first["revision"] == again["revision"]
    assert load_teacher(tmp_path).revision == f"clip@{again['revision']}"


def test_a_damaged_weight_file_is_refused(fits: Fits, tmp_path: Path) -> None:
    for file in fits["clip"][0].iterdir():
        content = bytearray(file.read_bytes())
        if file.suffix == ".safetensors":
            content[-5] ^= 1
        (tmp_path / file.name).write_bytes(bytes(content))
    with pytest.raises(TeacherError, match="damaged"):
        load_teacher(tmp_path)


def test_another_encoder_than_the_fitted_one_is_refused(
    fits: Fits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mint_ray.teachers.clip.encoders.embedded.LAYERS", (4, 7))
    with pytest.raises(TeacherError, match="other encoders"):
        load_teacher(fits["clip"][0])
