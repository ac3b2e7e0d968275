"""The service over HTTP, on a real Ray Serve with a tiny student."""

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.serving.conftest import DISEASES

pytestmark = pytest.mark.cluster

NOTE = "Tall stature and arachnodactyly. No seizures."


def post(url: str, path: str = "/v1/diagnose", **more: Any) -> requests.Response:
    return requests.post(f"{url}{path}", timeout=60, **more)


def test_a_note_gets_a_ranking(url: str) -> None:
    response = post(url, json={"note": NOTE, "top_k": 2, "explain": True})
    assert response.status_code == 200
    answer = response.json()
    assert answer["request_id"] == response.headers["x-mint-request-id"]
    assert [entry["rank"] for entry in answer["ranking"]] == [1, 2]
    assert {entry["id"] for entry in answer["ranking"]} <= set(DISEASES)
    assert answer["ranking"][0]["explanation"] is not None
    assert {f["name"] for f in answer["findings"]} == {"Tall stature", "Arachnodactyly", "Seizure"}


def test_the_same_request_gives_the_same_answer_in_any_company(url: str) -> None:
    notes = [f"Case {n}. {'Seizures. ' * (1 + 7 * n % 30)}" for n in range(12)]
    alone = [post(url, json={"note": note}).json()["ranking"] for note in notes]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda note: post(url, json={"note": note}).json(), notes))
    for one, answer in zip(alone, answers, strict=True):
        assert [e["id"] for e in one] == [e["id"] for e in answer["ranking"]]
        for first, second in zip(one, answer["ranking"], strict=True):
            assert first["probability"] == pytest.approx(second["probability"], abs=1e-4)


def test_other_forms_of_an_answer(url: str) -> None:
    table = post(url, json={"note": NOTE}, headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    accept = "application/vnd.ga4gh.phenopacket+json"
    packet = post(url, json={"note": NOTE}, headers={"Accept": accept}).json()
    assert packet["interpretations"][0]["diagnosis"]["disease"]["id"] == rows[0]["id"]


def test_a_batch_answers_bad_lines_in_place(url: str) -> None:
    lines = [{"note": NOTE}, {"note": " "}, {"nothing": 1}, {"terms": ["HP:0001250"]}]
    body = "\n".join([*map(json.dumps, lines), "no json"])
    response = post(url, "/v1/batch", data=body.encode())
    found = [json.loads(line) for line in response.text.splitlines()]
    assert [item.get("error", {}).get("reason") for item in found] == [
        None,
        "empty_note",
        "invalid",
        None,
        "invalid",
    ]


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("/v1/diagnose", b"", 422, "invalid"),
        ("/v1/diagnose", b"canary", 422, "invalid"),
        ("/v1/diagnose", b'{"note": "canary", "top_k": "many"}', 422, "invalid"),
        ("/v1/diagnose", b'{"terms": ["canary"]}', 422, "unknown_terms"),
        ("/v1/diagnose", b'{"phenopacket": {"id": "canary"}}', 422, "not_a_phenopacket"),
        ("/v1/diagnose", b'{"note": "\\ud800"}', 422, "invalid"),
        ("/v1/tissue", b"canary", 404, "no_model"),
    ],
)
def test_errors_have_a_form_and_repeat_nothing(
    url: str, path: str, body: bytes, status: int, reason: str
) -> None:
    response = post(url, path, data=body, headers={"Content-Type": "application/json"})
    if path == "/v1/tissue":
        response = post(url, path, data=body)
    assert response.status_code == status
    assert response.json()["error"]["reason"] == reason
    assert "canary" not in response.text


def test_what_answers_and_how_often(url: str) -> None:
    [model] = requests.get(f"{url}/v1/models", timeout=60).json()["models"]
    assert model["kind"] == "text"
    assert model["version"] == "student"
    assert requests.get(f"{url}/healthz", timeout=60).json() == {"status": "ok"}
    metrics = requests.get(f"{url}/metrics", timeout=60).text
    assert 'mint_requests_total{route="/v1/models",status="200"}' in metrics
    document = requests.get(f"{url}/openapi.json", timeout=60).json()
    assert {"/v1/diagnose", "/v1/tissue", "/v1/batch", "/v1/models"} <= set(document["paths"])
