"""Training patients: weights, variation and lost modalities."""

from dataclasses import replace

import numpy as np
import pytest

from mint_ray.knowledge.catalogue import build_catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.fusion.training_patients import Patient, drop_modality, real_patients, vary
from tests.teachers.conftest import FINDINGS, invented_annotations

FACE = np.array([0.9, 0.1], dtype=np.float32)
PATIENT = Patient(0, 1.0, FINDINGS[4], FINDINGS[5], "male", FACE, FACE)
BLIND = replace(PATIENT, findings=None, face=None)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def row(group: str, label: str = "OMIM:900000") -> dict[str, object]:
    return {
        "case_id": group, "group_id": group, "label_id": label, "terms": ["HP:0000508"],
        "excluded_terms": [], "sex": "female",
    }  # fmt: skip


def test_a_large_group_weighs_as_the_root_of_its_size() -> None:
    catalogue = build_catalogue(invented_annotations(), {}, "OMIM", "all")
    rows = [row("large")] * 4 + [row("small"), row("other", "OMIM:1")]
    weights = [patient.weight for patient in real_patients(rows, catalogue, {})]
    assert len(weights) == 5  # a label outside the catalogue cannot be learned
    assert sum(weights) == pytest.approx(5)
    assert sum(weights[:4]) == pytest.approx(2 * weights[4])


def test_variation_leaves_something_of_the_same_patient(rng: np.random.Generator) -> None:
    ontology = load_ontology()
    kept = set()
    for _ in range(200):
        varied = vary(BLIND, ontology, 0.5, rng)
        assert varied.label == 0
        assert varied.observed
        near = {p for t in PATIENT.observed for p in (t, *ontology.parents(t))}
        assert set(varied.observed) <= near
        assert set(varied.excluded) <= set(PATIENT.excluded)
        kept.add(len(varied.observed))
    assert kept == {1, 2, 3}


def test_one_modality_is_lost_at_most(rng: np.random.Generator) -> None:
    varied = [drop_modality(PATIENT, 0.3, rng) for _ in range(500)]
    blind = sum(p.findings is None for p in varied)
    mute = sum(not p.observed for p in varied)
    assert not any(p.findings is None and not p.observed for p in varied)
    assert 100 < blind < 200
    assert 100 < mute < 200


def test_a_plain_face_never_stands_alone(rng: np.random.Generator) -> None:
    plain = replace(PATIENT, findings=FACE * 0)
    assert all(drop_modality(plain, 0.5, rng).observed for _ in range(50))


def test_a_patient_without_a_face_keeps_its_terms(rng: np.random.Generator) -> None:
    assert drop_modality(BLIND, 1.0, rng) is BLIND
