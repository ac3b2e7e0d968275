"""What every request passes, without a server."""

import asyncio
import hashlib
import json
import logging
import time
from typing import Any

import pytest

from mint_ray.serving.http.guard import Guard
from mint_ray.serving.http.security import ApiKeys, RateLimit

KEY = "invented key"
HASH = hashlib.sha256(KEY.encode()).hexdigest()


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body and answers its length."""
    length, more = 0, True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})


def ask(
    guard: Guard,
    path: str = "/v1/diagnose",
    headers: dict[str, str] | None = None,
    parts: tuple[bytes, ...] = (b"abc",),
) -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []
    waiting = [
        {"type": "http.request", "body": part, "more_body": place + 1 < len(parts)}
        for place, part in enumerate(parts)
    ]

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()]
    scope = {"type": "http", "method": "POST", "path": path, "headers": raw, "client": ("::1", 1)}
    asyncio.run(guard(scope, receive, send))
    found = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], found, sent[1]["body"]


async def answers_by_itself(scope: Any, receive: Any, send: Any) -> None:
    """Says that reading failed, as frameworks do, and raises."""
    try:
        await echo(scope, receive, send)
    except Exception:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"oops"})
        raise


def guard(keys: str = "", per_minute: int = 100, most: int = 1024, **more: Any) -> Guard:
    return Guard(echo, ApiKeys(None, keys), RateLimit(per_minute), most, **more)


def test_a_request_passes_with_headers_and_an_id() -> None:
    status, headers, body = ask(guard())
    assert (status, body) == (200, b"3")
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert len(headers["x-mint-request-id"]) == 32
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": f"Bearer {KEY}x"}, 401),
        ({"Authorization": f"Basic {KEY}"}, 401),
        ({"Authorization": f"Bearer {KEY}"}, 200),
        ({"X-API-Key": KEY}, 200),
        ({"X-API-Key": "\u00e9\u00ff"}, 401),
    ],
)
def test_keys(headers: dict[str, str], status: int) -> None:
    found, answered, body = ask(guard(HASH), headers=headers)
    assert found == status
    if status == 401:
        assert json.loads(body)["error"]["reason"] == "no_key"
        assert answered["www-authenticate"] == "Bearer"
    assert ask(guard(HASH), path="/healthz")[0] == 200


def test_without_any_key_every_request_that_needs_one_is_refused() -> None:
    made = Guard(echo, ApiKeys(None, "", required=True), RateLimit(100), 1024)
    status, _, body = ask(made, headers={"X-API-Key": KEY})
    assert (status, json.loads(body)["error"]["reason"]) == (503, "no_keys")
    assert ask(made, path="/healthz")[0] == 200


@pytest.mark.parametrize(
    ("headers", "parts"),
    [
        ({"Content-Length": "2000"}, (b"",)),
        ({"Content-Length": "many"}, (b"",)),
        ({"Content-Length": "-1"}, (b"",)),
        ({"Content-Length": "0" * 5000 + "2"}, (b"",)),
        ({}, (b"a" * 600, b"a" * 600)),
        ({"Content-Length": "5"}, (b"a" * 2000,)),
    ],
)
def test_long_bodies_are_refused_while_they_arrive(
    headers: dict[str, str], parts: tuple[bytes, ...]
) -> None:
    for app in (echo, answers_by_itself):
        made = Guard(app, ApiKeys(None, ""), RateLimit(100), 1024)
        status, _, body = ask(made, headers=headers, parts=parts)
        assert status == 413
        assert json.loads(body)["error"]["reason"] == "too_large"


def test_who_asks_too_often_is_told_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 60 * 10**6 + 30.0)  # the middle of a minute
    made = guard(per_minute=2)
    assert [ask(made)[0] for _ in range(3)] == [200, 200, 429]
    status, headers, body = ask(made)
    assert status == 429
    assert 1 <= int(headers["retry-after"]) <= 31
    assert json.loads(body)["error"]["request_id"] == headers["x-mint-request-id"]
    assert ask(made, path="/healthz")[0] == 200


def test_the_audit_has_ids_and_nothing_that_was_said(caplog: pytest.LogCaptureFixture) -> None:
    counted: list[Any] = []
    made = guard(HASH, count=lambda *row: counted.append(row))
    with caplog.at_level(logging.INFO, "mint_ray.audit"):
        ask(made, headers={"X-API-Key": KEY}, parts=(b"canary",))
        ask(made, headers={"X-API-Key": "canary"})
    assert [record.getMessage().split()[1] for record in caplog.records] == [
        f"key-{HASH[:8]}",
        "address-::1",
    ]
    assert "canary" not in caplog.text
    assert KEY not in caplog.text
    assert [row[:2] for row in counted] == [("/v1/diagnose", 200), ("/v1/diagnose", 401)]
