"""Documents that are found for a note: no Ray, and nothing that leaves the process."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from mint_ray.config.load import parse_config
from mint_ray.config.serving import ServingConfig
from mint_ray.errors import ConfigError, DataError
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.retrieval.documents import Document
from mint_ray.retrieval.index import DocumentIndex
from mint_ray.serving.api.found import source_url
from mint_ray.serving.api.requests import DiagnoseRequest, Options, UnusableRequest, read_image
from mint_ray.serving.deploy import local
from mint_ray.serving.deploy.application import check
from mint_ray.serving.documents import MOST_CHARACTERS, find_documents, read_documents
from mint_ray.serving.loading import load_predictor
from mint_ray.serving.predictor import Predictor
from tests.evaluation.evaluated import finish
from tests.serving.http.in_process import Handle, answer_of, app_of, ask
from tests.students.vision_cases import picture

DOCUMENTS = (
    Document("OMIM:154700", "disease", "Marfan syndrome", "Findings: tall stature, long fingers."),
    Document("OMIM:219700", "disease", "Cystic fibrosis", "Findings: chronic cough. " * 200),
    Document("leaflet-7", "own", "Leaflet on coughs", "A chronic cough in winter."),
)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished `index` step."""
    return write_index(tmp_path_factory.mktemp("documents") / "index-1")


def write_index(folder: Path) -> Path:
    folder.mkdir(parents=True)
    DocumentIndex.build(DOCUMENTS).write(folder / "index")
    finish(folder, "index", {}, {})
    return folder


@pytest.fixture(scope="module")
def predictor(folder: Path, documents: Path) -> Predictor:
    config = {"batch_size": 2, "tracking": "", "documents": str(documents)}
    loaded = load_predictor(config, str(folder))
    assert loaded.about()["documents"] is True
    return loaded.predictor


def answered(predictor: Predictor, **request: Any) -> Any:
    asked = predictor.read_patient(DiagnoseRequest(**request))
    return predictor.answer({"r": asked})[0]


def test_documents_stand_beside_the_ranking(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a note left the process"))
    note = "A tall girl with a chronic cough."
    answer = answered(predictor, note=note, explain="documents")
    plain = answered(predictor, note=note, explain=True)
    titles = [found.title for found in answer.documents]
    assert set(titles[:2]) == {"Leaflet on coughs", "Cystic fibrosis"}
    assert titles[2] == "Marfan syndrome"
    scores = [found.score for found in answer.documents]
    assert scores == sorted(scores, reverse=True)
    assert answer.ranking == plain.ranking  # with the findings for and against
    assert plain.documents is None
    assert answered(predictor, note=note).documents is None
    json.dumps(answer.model_dump(mode="json"))


def test_only_documents_with_a_word_of_the_note_are_listed(predictor: Predictor) -> None:
    [found] = answered(predictor, note="Tall stature.", explain="documents").documents
    assert found.title == "Marfan syndrome"
    assert answered(predictor, note="Seizures.", explain="documents").documents == []
    assert answered(predictor, note="!?", explain="documents").documents == []


def test_terms_are_searched_by_the_note_that_is_written(predictor: Predictor) -> None:
    answer = answered(predictor, terms=["HP:0000098"], explain="documents")
    assert answer.documents[0].title == "Marfan syndrome"


def test_links_lead_to_every_source_of_a_label(documents: Path) -> None:
    label = Label("OMIM:154700", "Marfan syndrome", ("OMIM:154700", "ORPHA:558"), (), ())
    index = read_documents(documents)
    [found] = find_documents("Tall.", index, Catalogue([label]))
    assert [source.model_dump() for source in found.sources] == [
        {"id": "OMIM:154700", "url": "https://omim.org/entry/154700"},
        {"id": "ORPHA:558", "url": "https://www.orpha.net/en/disease/detail/558"},
    ]
    leaflet = next(
        item
        for item in find_documents("A chronic cough.", index, Catalogue([label]))
        if item.kind == "own"
    )
    assert [source.url for source in leaflet.sources] == [None]


@pytest.mark.parametrize(
    ("any_id", "url"),
    [
        ("HGNC:3603", "https://www.genenames.org/data/gene-symbol-report/#!/hgnc_id/HGNC:3603"),
        ("NCBIGene:2200", "https://www.ncbi.nlm.nih.gov/gene/2200"),
        ("OMIM:154700/../x", None),
        ("javascript:1", None),
        ("OMIM:١٥٤", None),
        ("F1", None),
    ],
)
def test_an_id_of_another_form_has_no_link(any_id: str, url: str | None) -> None:
    assert source_url(any_id) == url


def test_a_long_document_is_shown_by_its_beginning(predictor: Predictor) -> None:
    found = answered(predictor, note="Fibrosis.", explain="documents").documents[0]
    assert found.text.endswith(" …")
    assert len(found.text) <= MOST_CHARACTERS + 2


def test_a_service_without_documents_says_so(folder: Path) -> None:
    without = Predictor(folder, name="mint-text", version="1")
    assert not without.has_documents
    with pytest.raises(UnusableRequest, match="which this service does not have") as refused:
        without.read_patient(DiagnoseRequest(note="Tall.", explain="documents"))
    assert refused.value.reason == "no_documents"
    assert without.read_patient(DiagnoseRequest(note="Tall.", explain=True)).explain


def test_no_documents_are_found_for_an_image() -> None:
    with pytest.raises(UnusableRequest, match="for an image, found documents") as refused:
        read_image(picture(1), Options(explain="documents"), lambda image: pytest.fail("encoded"))
    assert refused.value.reason == "no_documents"


def test_the_route_takes_the_word_and_refuses_others() -> None:
    seen: list[Any] = []

    async def diagnose(request_id: str, request: DiagnoseRequest) -> Any:
        seen.append(request.explain)
        return answer_of(request_id)

    app = app_of(Handle(diagnose=diagnose))
    bodies = [{"note": "Tall.", "explain": value} for value in ("documents", True, "papers", 7)]
    replies = ask(app, *(("POST", "/v1/diagnose", {"json": body}) for body in bodies))
    assert [reply.status_code for reply in replies] == [200, 200, 422, 422]
    assert seen == ["documents", True]
    assert "papers" not in replies[2].text
    assert replies[0].json()["documents"] is None
    [described] = ask(app, ("GET", "/openapi.json", {}))
    assert "DocumentModel" in described.json()["components"]["schemas"]


def test_a_folder_of_another_step_is_refused_before_it_is_served(tmp_path: Path) -> None:
    text = {"student": str(tmp_path)}
    for stage in ("train", None):
        folder = tmp_path / str(stage)
        folder.mkdir()
        if stage:
            finish(folder, stage, {}, {})
        config = ServingConfig.model_validate({"text": text, "documents": str(folder)})
        with pytest.raises(ConfigError, match=r"finished index step, found (train|no finished)"):
            check(config)
        with pytest.raises(ConfigError, match="mint path CONFIG index"):
            read_documents(folder)


def test_a_damaged_document_is_not_served(tmp_path: Path) -> None:
    folder = write_index(tmp_path / "index-2")
    file = folder / "index" / "documents.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match="expected the file that the index was written with"):
        read_documents(folder)


def test_mint_serve_takes_the_configs_own_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parse_config({"store": str(tmp_path)})
    planned = local.pipeline.plan(config)
    planned["train"].folder.mkdir(parents=True)
    finish(planned["train"].folder, "train", {}, {})
    assert local.with_students(config).documents is None
    planned["index"].folder.mkdir()
    finish(planned["index"].folder, "index", {}, {})
    assert local.with_students(config).documents == planned["index"].folder
    named = parse_config({"store": str(tmp_path), "serving": {"documents": "other"}})
    assert local.with_students(named).documents == Path("other")
