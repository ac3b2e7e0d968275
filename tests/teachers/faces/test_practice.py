"""Practice faces: drawn once for a seed and a choice of findings, and the same from the cache."""

from pathlib import Path

import numpy as np
import pytest

from mint_ray.images.faces.render import render_face
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.faces.pixels import decode_image
from mint_ray.teachers.faces.practice import KEPT, practice_faces
from mint_ray.teachers.faces.reader import FINDINGS

CHOICE = np.array([0, 3, 5])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINT_CACHE", str(tmp_path))
    return tmp_path


def written(cache: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in cache.glob("practice_faces-*")}


def test_faces_are_drawn_once_for_a_seed_and_a_choice(cache: Path) -> None:
    first = practice_faces(6, CHOICE, load_ontology(), 1)
    drawn = written(cache)
    again = practice_faces(6, CHOICE, load_ontology(), 1)
    assert written(cache) == drawn
    assert len(drawn) == 1
    for name, column in vars(first).items():
        assert np.array_equal(getattr(again, name), column), name
    others = [
        practice_faces(6, CHOICE, load_ontology(), 2),
        practice_faces(6, CHOICE[:2], load_ontology(), 1),
    ]
    assert len(written(cache)) == 3
    assert not any(np.array_equal(other.pixels, first.pixels) for other in others)


def test_a_face_shows_the_findings_that_it_is_said_to_show(cache: Path) -> None:
    faces = practice_faces(8, CHOICE, load_ontology(), 4)
    assert set(np.flatnonzero(faces.findings.any(axis=0)).tolist()) <= set(CHOICE.tolist())
    assert faces.known.all()
    assert (faces.labels == -1).all()
    # The order of the draws, by which a seed means the same faces in every release.
    rng = np.random.default_rng([4, 1])
    for pixels, row in zip(faces.pixels, faces.findings, strict=True):
        chosen = rng.permutation(CHOICE)[: int(rng.poisson(2.5))]
        sex = ("female", "male")[int(rng.integers(2))]
        seed = int(rng.integers(2**31))
        image = render_face([FINDINGS[i] for i in chosen], load_ontology(), seed, sex)
        assert np.array_equal(decode_image(image), pixels)
        assert sorted(chosen.tolist()) == np.flatnonzero(row).tolist()


def test_no_faces_need_no_cache(cache: Path) -> None:
    assert practice_faces(0, CHOICE, load_ontology(), 0).pixels.shape == (0, 3, 112, 112)
    assert not written(cache)


def test_the_cache_keeps_the_newest_sets(cache: Path) -> None:
    for seed in range(KEPT + 2):
        practice_faces(1, CHOICE, load_ontology(), seed)
    assert len(written(cache)) == KEPT
    before = written(cache)
    practice_faces(1, CHOICE, load_ontology(), KEPT + 1)
    assert written(cache) == before
