"""Notes of requests, without a model."""

import pytest

from mint_ray.knowledge.ontology import load_ontology
from mint_ray.serving.api.requests import NO_FINDING, DiagnoseRequest, PatientReader

NOT_ENGLISH = "the note is not in English: findings are read, denials are not"


@pytest.fixture(scope="module")
def reader() -> PatientReader:
    return PatientReader(load_ontology())


@pytest.mark.parametrize(
    ("note", "caveat"),
    [
        ("She has ataxia.", None),
        ("Ataxia", None),
        ("She feels well.", NO_FINDING),
        ("Der Junge hat seit zwei Jahren einen Tremor der Hände.", NOT_ENGLISH),
        ("Der Junge läuft seit zwei Jahren nicht mehr.", f"{NOT_ENGLISH}; {NO_FINDING}"),
    ],
)
def test_doubts_about_a_note_are_said(reader: PatientReader, note: str, caveat: str | None) -> None:
    assert reader.read(DiagnoseRequest(note=note)).caveat == caveat
