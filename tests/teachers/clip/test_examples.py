"""Reading tiles as features: which rows, in which order, by how many processes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mint_ray.errors import TeacherError
from mint_ray.teachers.base import load_manifest, load_teacher
from mint_ray.teachers.clip.encoders.embedded import EmbeddedEncoders
from mint_ray.teachers.clip.examples import read_examples
from mint_ray.teachers.clip.fit import fit_clip
from tests.teachers.conftest import columns
from tests.teachers.tissue import CATALOGUE, cases, run_config, tile, turned, write_cases
from tests.two_ranks import TwoRanks

CONFIG = run_config("clip_fusion", fit="probe", scoring_views=8)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty-eight tiles: more than are read at once."""
    return write_cases(tmp_path_factory.mktemp("cases"), cases(16))


@pytest.fixture(scope="module")
def fitted(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fitted by one process of one thread: threads differ in the last bits of their sums."""
    out, threads = tmp_path_factory.mktemp("fitted"), torch.get_num_threads()
    torch.set_num_threads(1)
    _fit(source, out)
    torch.set_num_threads(threads)
    return out


def test_unusable_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = cases(4)
    rows[0] |= {"image": None}
    rows[1] |= {"image": b"no image"}
    rows[2] |= {"label_id": "TISSUE:of_nobody"}
    rows[3] |= {"label_id": None, "description": ""}
    rows[4] |= {"description": ""}
    found = read_examples(
        write_cases(tmp_path, rows) / "cases.parquet", "train", CATALOGUE, EmbeddedEncoders(), 2, 0
    )
    assert (len(found), found.skipped) == (8, 4)
    assert found.images.shape == (8, 2, 2 * (40 + 80 + 112))
    assert found.described.tolist() == [False, *[True] * 7]
    assert not found.texts[0].any()
    assert len(np.unique(found.groups)) == 4


def test_without_a_usable_row_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    rows = [{**row, "image": tile(2, 0)[:50]} for row in cases(2)]
    with pytest.raises(TeacherError, match="found none"):
        fit_clip(write_cases(tmp_path / "cases", rows), CONFIG, tmp_path / "out", print)


def test_one_patient_of_one_label_is_enough_to_fit(tmp_path: Path) -> None:
    source = write_cases(tmp_path / "cases", cases(2)[:2])
    for fit in ("probe", "contrastive"):
        fit_clip(source, run_config("clip_fusion", fit=fit), tmp_path / fit, lambda metrics: None)
        assert np.isfinite(load_teacher(tmp_path / fit).score(columns(cases(1)))).all()


def test_with_all_eight_turns_a_turned_tile_scores_the_same(fitted: Path) -> None:
    teacher, rows = load_teacher(fitted), cases(1, first=700)
    around = [{**row, "image": turned(row["image"])} for row in rows]
    np.testing.assert_allclose(
        teacher.score(columns(rows)), teacher.score(columns(around)), atol=2e-2
    )


def test_two_processes_fit_the_same_teacher(
    source: Path, fitted: Path, tmp_path: Path, two_ranks: TwoRanks
) -> None:
    two_ranks.run(_fit, source, tmp_path)
    assert load_manifest(tmp_path)["revision"] == load_manifest(fitted)["revision"]


def _fit(source: Path, out: Path) -> None:
    fit_clip(source, CONFIG, out, lambda metrics: None)
