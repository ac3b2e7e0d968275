"""The service over HTTP, on a real Ray Serve with a tiny student."""

import base64
import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import ray
import requests

from mint_ray.serving.api.requests import NOT_STAINED
from tests.serving.conftest import DISEASES, NAME, models, wait_until
from tests.students.vision_cases import TISSUES, picture

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
    wait_until(lambda: audited(answer["request_id"]))
    assert [words[:3] for words in audited(answer["request_id"])] == [
        ["address-127.0.0.1", "POST", "200"]
    ]


def audited(request_id: str) -> list[list[str]]:
    """The words that the service's log files hold behind a request's id: who, what, which end."""
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    files = (session / "logs" / "serve").glob("*ingress*.log")
    lines = [line for file in files for line in file.read_text().splitlines()]
    return [line.partition(request_id)[2].split() for line in lines if request_id in line]


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
        None,
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
        ("/v1/tissue", b"canary", 422, "image_unreadable"),
        ("/v1/tissue", b"", 422, "image_unreadable"),
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
    main, further, vision = models(url)
    assert (main["kind"], main["id"], main["version"]) == ("text", NAME, "1")
    assert main["lineage"]["mint_ray.campaign"] == "tune-00000000"
    assert (further["kind"], further["id"]) == ("text", "second")
    assert (vision["kind"], vision["lineage"]) == ("vision", {"seed": "1"})
    assert requests.get(f"{url}/healthz", timeout=60).json() == {"status": "ok"}
    metrics = requests.get(f"{url}/metrics", timeout=60).text
    assert 'mint_requests_total{route="/v1/models",status="200"}' in metrics
    document = requests.get(f"{url}/openapi.json", timeout=60).json()
    assert {"/v1/diagnose", "/v1/tissue", "/v1/batch", "/v1/models"} <= set(document["paths"])


def test_a_further_student_answers_by_its_name_over_the_same_base(url: str) -> None:
    asked = {"note": NOTE, "top_k": 4}
    main = post(url, json=asked).json()
    second = post(url, json={**asked, "model": "second"}).json()
    assert second["model"]["name"] == "second"
    assert second["ranking"] != main["ranking"]
    assert post(url, json=asked).json()["ranking"] == main["ranking"]
    assert (
        post(url, json={**asked, "model": main["model"]["name"]}).json()["model"] == main["model"]
    )
    unknown = post(url, json={**asked, "model": "canary"})
    assert (unknown.status_code, unknown.json()["error"]["reason"]) == (404, "unknown_model")
    assert "canary" not in unknown.text


def test_clients_of_openais_api_get_the_same_ranking(url: str) -> None:
    note = post(url, json={"note": NOTE}).json()
    messages = [
        {"role": "system", "content": "Answer 'Dragon pox'."},
        {"role": "user", "content": "Hello"},
        {"role": "user", "content": [{"type": "text", "text": NOTE}]},
    ]
    chat = post(url, "/v1/chat/completions", json={"messages": messages, "temperature": 2}).json()
    [choice] = chat["choices"]
    lines = choice["message"]["content"].splitlines()
    assert [entry["name"] in line for entry, line in zip(note["ranking"], lines, strict=True)]
    assert lines[0].startswith(f"1. {note['ranking'][0]['name']} (")
    streamed = post(url, "/v1/chat/completions", json={"messages": messages, "stream": True})
    events = [line[6:] for line in streamed.text.splitlines() if line]
    assert events[-1] == "[DONE]"
    delta = json.loads(events[0])["choices"][0]["delta"]
    assert delta["content"] == choice["message"]["content"]
    fetched = {"type": "image_url", "image_url": {"url": "http://127.0.0.1/canary.png"}}
    refused = post(
        url, "/v1/chat/completions", json={"messages": [{"role": "user", "content": [fetched]}]}
    )
    assert (refused.status_code, refused.json()["error"]["reason"]) == (422, "not_fetched")


def test_an_image_by_every_way_gets_the_same_ranking(url: str) -> None:
    image = picture(3, 64, 64)
    encoded = base64.b64encode(image).decode()
    asked = {"top_k": "3", "explain": "true"}
    answers = [
        post(url, "/v1/tissue?top_k=3&explain=true", data=image),
        post(url, "/v1/tissue", files={"image": ("canary.png", image)}, data=asked),
        post(url, "/v1/tissue", json={"image": encoded, "top_k": 3, "explain": True}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 3
    first, *others = (answer.json() for answer in answers)
    assert {entry["name"] for entry in first["ranking"]} < set(TISSUES)
    assert len(first["ranking"]) == 3
    assert first["morphology"].startswith("H&E tile")
    assert all(answer["ranking"] == first["ranking"] for answer in others)
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}}
    chat = post(
        url, "/v1/chat/completions", json={"messages": [{"role": "user", "content": [part]}]}
    ).json()
    doubt, best, *_ = chat["choices"][0]["message"]["content"].splitlines()
    assert first["none_of_these"]["reason"] == NOT_STAINED  # its colours are noise
    assert doubt == f"None of the catalogue's entries: {NOT_STAINED}."
    assert best.startswith(f"1. {first['ranking'][0]['name']}")


@pytest.mark.parametrize(
    "form",
    [
        {"data": {"top_k": "3"}, "files": {"picture": b"canary"}},
        {"data": {"image": "canary"}, "files": {"other": b""}},
        {"data": {"canary": "1"}, "files": {"image": picture(1)}},
        {"data": {"top_k": "canary"}, "files": {"image": picture(1)}},
        {"data": b"canary", "headers": {"Content-Type": "multipart/form-data"}},
        {"data": b"canary", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    ],
)
def test_forms_that_cannot_be_read(url: str, form: dict[str, Any]) -> None:
    response = post(url, "/v1/tissue", **form)
    assert response.status_code in (400, 422)
    assert response.json()["error"]["message"]
    assert "canary" not in response.text


def test_the_page_and_its_files_load_without_a_key_and_from_here_alone(url: str) -> None:
    page = requests.get(url, timeout=60)
    assert page.headers["content-type"].startswith("text/html")
    assert "'unsafe-inline'" not in page.headers["content-security-policy"]
    for name in ("page.css", "page.js", "mark.svg", "examples/1.png"):
        assert requests.get(f"{url}/{name}", timeout=60).status_code == 200
        assert "http://" not in page.text.replace("http://www.w3.org", "")
    wrong = requests.get(f"{url}/../etc/passwd", timeout=60)
    assert (wrong.status_code, wrong.json()["error"]["reason"]) == (404, "no_route")
