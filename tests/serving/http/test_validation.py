"""A request and its answer are validated once, where they come in and where they are made."""

import base64
import json
from typing import Any

import pytest

from mint_ray.serving.api.answers import Answer, Refusal
from mint_ray.serving.api.requests import DiagnoseRequest, Options
from tests.serving.http.in_process import Handle, answer_of, app_of, ask

NOTE = "Seizures."
IMAGE = base64.b64encode(b"an image").decode()


def url_part(encoded: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}}


def chat(content: Any) -> dict[str, Any]:
    return {"json": {"messages": [{"role": "user", "content": content}]}}


class Replica:
    """Notes what it is asked, and answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def reply(self, request_id: str, *asked: Any) -> Answer:
        self.asked.append(asked)
        return answer_of(request_id)


@pytest.mark.parametrize(
    ("path", "more", "asked"),
    [
        ("/v1/diagnose", {"json": {"note": NOTE}}, (DiagnoseRequest(note=NOTE),)),
        ("/v1/batch", {"content": json.dumps({"note": NOTE})}, (DiagnoseRequest(note=NOTE),)),
        ("/v1/chat/completions", chat(NOTE), (DiagnoseRequest(note=NOTE),)),
        (
            "/v1/chat/completions",
            chat([{"type": "text", "text": part} for part in ("Seizures.", "Tall.")]),
            (DiagnoseRequest(note="Seizures.\nTall."),),
        ),
        ("/v1/chat/completions", chat([url_part(IMAGE)]), (b"an image", Options())),
        ("/v1/tissue?top_k=3", {"content": b"an image"}, (b"an image", Options(top_k=3))),
        ("/v1/tissue", {"json": {"image": IMAGE, "top_k": 3}}, (b"an image", Options(top_k=3))),
        (
            "/v1/tissue",
            {
                "content": json.dumps({"image": IMAGE}),
                "headers": {"Content-Type": "Application/JSON; charset=UTF-8"},
            },
            (b"an image", Options()),
        ),
        ("/v1/tissue?top_k=3", {"files": {"image": b"an image"}}, (b"an image", Options(top_k=3))),
        (
            "/v1/tissue",
            {"files": {"image": b"an image"}, "data": {"top_k": "3"}},
            (b"an image", Options(top_k=3)),
        ),
    ],
)
def test_a_replica_gets_what_was_validated_and_its_answer_is_not_parsed(
    path: str, more: dict[str, Any], asked: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def parsed(*_: Any) -> Any:
        raise AssertionError("parsed")

    replica = Replica()
    app = app_of(Handle(diagnose=replica.reply, tissue=replica.reply))
    monkeypatch.setattr(Answer, "model_validate", parsed)
    [response] = ask(app, ("POST", path, more))
    assert (response.status_code, "Alpha syndrome" in response.text) == (200, True)
    [found] = replica.asked
    assert found == asked
    assert [type(item) for item in found] == [type(item) for item in asked]


@pytest.mark.parametrize("status", [422, 404])
def test_what_a_replica_refuses_is_told(status: int) -> None:
    async def refuse(request_id: str, request: Any) -> Refusal:
        return Refusal("some_reason", "some words", status)

    [response] = ask(
        app_of(Handle(diagnose=refuse)), ("POST", "/v1/diagnose", {"json": {"note": NOTE}})
    )
    error = response.json()["error"]
    assert (response.status_code, error["reason"], error["message"]) == (
        status,
        "some_reason",
        "some words",
    )


def test_an_empty_chat_is_refused() -> None:
    for content in ("", [], None):
        [response] = ask(app_of(Handle()), ("POST", "/v1/chat/completions", chat(content)))
        assert (response.status_code, response.json()["error"]["reason"]) == (422, "no_message")
