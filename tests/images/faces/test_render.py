"""Faces: the table is right, every finding can be seen, drawing is reproducible."""

import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mint_ray.images.faces.findings import FACE_FINDINGS, PARAMETERS, findings_table
from mint_ray.images.faces.render import render_face, rendered_terms
from mint_ray.knowledge.ontology import load_ontology

ONTOLOGY = load_ontology()
DOCS = Path(__file__).parents[3] / "docs" / "faces.md"


@cache
def _pixels(term: str | None, seed: int) -> np.ndarray:
    data = render_face([term] if term else [], ONTOLOGY, seed, "female")
    return np.asarray(Image.open(io.BytesIO(data)), dtype=np.int64)


def test_table_has_current_terms_with_their_names() -> None:
    assert {term: ONTOLOGY.name(term) for term in FACE_FINDINGS} == {
        term: finding.name for term, finding in FACE_FINDINGS.items()
    }


def test_shifts_name_parameters_and_exceed_natural_variation() -> None:
    for finding in FACE_FINDINGS.values():
        assert finding.shifts.keys() <= PARAMETERS.keys()
        assert max(map(abs, finding.shifts.values())) > 3


def test_no_two_findings_are_drawn_alike() -> None:
    shifts = [tuple(sorted(finding.shifts.items())) for finding in FACE_FINDINGS.values()]
    assert len(set(shifts)) == len(shifts)


@pytest.mark.parametrize("term", FACE_FINDINGS, ids=lambda term: FACE_FINDINGS[term].name)
def test_finding_can_be_seen(term: str) -> None:
    for seed in (1, 2):
        change = np.abs(_pixels(term, seed) - _pixels(None, seed)).max(axis=2)
        assert (change > 25).sum() >= 15, "too few pixels change"
        assert (change > 25).mean() < 0.5, "the finding changes the whole picture"


def test_image_is_a_small_rgb_png() -> None:
    image = Image.open(io.BytesIO(render_face(["HP:0000316"], ONTOLOGY, 3, "male")))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (112, 112))


def test_same_arguments_same_bytes_other_seed_other_face() -> None:
    terms = ["HP:0000316", "HP:0000508"]
    first = render_face(terms, ONTOLOGY, 5, "male")
    assert first == render_face(terms[::-1], ONTOLOGY, 5, "male")
    assert first != render_face(terms, ONTOLOGY, 6, "male")


def test_term_below_a_table_term_counts_as_it() -> None:
    assert np.array_equal(_pixels("HP:0011451", 1), _pixels("HP:0000252", 1))
    assert rendered_terms(["HP:0011451"], ONTOLOGY) == ["HP:0011451"]


def test_other_terms_are_not_drawn() -> None:
    terms = ["HP:0001250", "HP:0000271", "HP:9999999"]  # seizure, abnormal face, unknown
    assert rendered_terms(terms, ONTOLOGY) == []
    assert render_face(terms, ONTOLOGY, 1, "unknown") == render_face([], ONTOLOGY, 1, "unknown")


def test_all_findings_at_once_can_be_drawn() -> None:
    assert render_face(list(FACE_FINDINGS), ONTOLOGY, 1, "female")


def test_documented_table_is_the_table() -> None:
    assert DOCS.read_text(encoding="utf-8").rstrip().endswith(findings_table())
