"""Notes of requests, without a model."""

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mint_ray.images.decode import sample_image
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.serving.api import requests
from mint_ray.serving.api.requests import (
    NO_FINDING,
    NOT_STAINED,
    DiagnoseRequest,
    Options,
    PatientReader,
    UnusableRequest,
    read_image,
)
from mint_ray.students.encoding.images import ShownImage
from mint_ray.students.encoding.prompt import Prompt
from mint_ray.students.models.processors import seen_side
from tests.students.vision_cases import picture

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


def prompt_of(image: ShownImage) -> Prompt:
    return Prompt((image.pixels.width, image.pixels.height))


def test_an_image_is_measured_at_the_size_the_model_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Any] = []
    measure = requests.measure

    def noted(pixels: Any, microns_per_pixel: float) -> Any:
        measured.append((pixels.shape, microns_per_pixel))
        return measure(pixels, microns_per_pixel=microns_per_pixel)

    monkeypatch.setattr(requests, "measure", noted)
    buffer = io.BytesIO()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (200, 400, 3), dtype=np.uint8)).save(buffer, "PNG")
    asked = read_image(buffer.getvalue(), Options(explain=True), prompt_of, side=100)
    assert measured == [((50, 100, 3), 1.0)]
    assert asked.morphology is not None
    assert asked.image == Prompt((400, 200))  # the model gets it before it is made smaller
    read_image(picture(1, 64, 64), Options(explain=True), prompt_of, side=100)
    assert measured[1] == ((64, 64, 3), 0.25)
    assert read_image(picture(1), Options(), prompt_of).morphology is None


def a_lawn() -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 60, (40, 40, 3)) + np.array([30, 150, 40])
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(("image", "caveat"), [(sample_image(), None), (a_lawn(), NOT_STAINED)])
def test_an_image_of_something_else_is_doubted(image: bytes, caveat: str | None) -> None:
    asked = read_image(image, Options(), prompt_of)
    assert (asked.caveat, asked.is_empty) == (caveat, False)


@pytest.mark.parametrize(
    ("size", "side"),
    [
        ({"height": 336, "width": 336}, 336),
        ({"shortest_edge": 224}, 224),
        ({"shortest_edge": 3136, "longest_edge": 12845056}, None),
        (None, None),
    ],
)
def test_the_side_that_a_processor_resizes_to(size: Any, side: int | None) -> None:
    assert seen_side(SimpleNamespace(image_processor=SimpleNamespace(size=size))) == side
    assert seen_side(None) is None


TERMS = ["HP:0001166", "HP:0000098", "HP:0001083", "HP:0001250", "HP:0001252"]


def packet(present: list[str], excluded: list[str], id_: str = "p") -> DiagnoseRequest:
    features = [{"type": {"id": term}} for term in present]
    features += [{"type": {"id": term}, "excluded": True} for term in excluded]
    meta = {"phenopacketSchemaVersion": "2.0"}
    return DiagnoseRequest(
        phenopacket={"id": id_, "metaData": meta, "phenotypicFeatures": features}
    )


def test_the_note_of_a_patient_does_not_depend_on_an_id(reader: PatientReader) -> None:
    notes = {reader.read(packet(TERMS, [], f"id-{n}")).note for n in range(24)}
    assert len(notes) == 1
    assert notes == {reader.read(DiagnoseRequest(terms=TERMS)).note}
    for present, excluded in ((TERMS[::-1], []), (TERMS[2:] + TERMS[:2], [])):
        assert reader.read(packet(present, excluded)).note in notes
    denied = {reader.read(packet(TERMS[:3], order)).note for order in (TERMS[3:], TERMS[:2:-1])}
    assert len(denied) == 1
    more = [f"HP:{n:07d}" for n in (365, 486, 518, 1249, 1631)]  # than the note has room for
    assert len({reader.read(packet(TERMS[:3], order)).note for order in (more, more[::-1])}) == 1
    others = {reader.read(packet(TERMS[:n], [])).note for n in range(1, 6)}
    assert len(others) == 5


def test_findings_that_the_student_does_not_see_are_told(reader: PatientReader) -> None:
    ontology = load_ontology()
    known = [term for term in ontology.ids if ontology.is_phenotype(term)][:60]
    read = reader.read(packet(known[:45], known[45:]))
    assert read.present == tuple(known[:45])
    assert read.left_out == tuple(known[40:])
    read = reader.read(packet(TERMS, known[:5]))
    assert read.left_out == tuple(known[3:5])
    assert all(ontology.name(term).lower() in read.note.lower() for term in known[:1])
    assert reader.read(packet(TERMS, known[:3])).left_out == ()


def test_terms_of_a_phenopacket_that_are_dropped_are_told(reader: PatientReader) -> None:
    read = reader.read(packet([*TERMS, "HP:9999999", "HP:0000006"], []))
    assert [notice.split(" in ")[0] for notice in read.notices] == [
        "1 of the phenotypic features are not known",
        "1 of the phenotypic features are no phenotypic abnormalities",
    ]
    assert reader.read(packet(TERMS, [])).notices == ()


@pytest.mark.parametrize("term", ["HP:0000001", "HP:0000118", "HP:0000006", "HP:0003581"])
def test_terms_that_no_patient_shows_are_refused(reader: PatientReader, term: str) -> None:
    for request in (
        DiagnoseRequest(terms=[*TERMS, term]),
        DiagnoseRequest(terms=TERMS, excluded_terms=[term]),
    ):
        with pytest.raises(UnusableRequest, match="no phenotypic abnormalities") as refused:
            reader.read(request)
        assert refused.value.reason == "not_a_phenotype"
