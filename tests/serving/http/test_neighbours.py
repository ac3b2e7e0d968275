"""Requests that would take time, memory or queues from other callers."""

import asyncio
import json
from typing import Any

import pytest
from ray.serve.exceptions import BackPressureError

from mint_ray.serving.http import app as application
from mint_ray.serving.http import bodies, guard
from mint_ray.serving.http.health import Health
from mint_ray.serving.http.security import ApiKeys, RateLimit
from mint_ray.serving.http.service import RequestRefused
from tests import still_clock
from tests.serving.http.in_process import Handle, answer_of, app_of, ask, diagnose

NOTE = {"note": "Seizures."}
LINE = json.dumps(NOTE)


def batch(app: Any, *lines: str, **more: Any) -> list[dict[str, Any]]:
    [response] = ask(app, ("POST", "/v1/batch", {"content": "\n".join(lines), **more}))
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def reason(body: dict[str, Any]) -> str | None:
    found: str | None = body.get("error", {}).get("reason")
    return found


def test_a_batch_may_take_longer_than_one_request() -> None:
    async def slowly(request_id: str, request: Any) -> Any:
        await asyncio.sleep(0.04)
        return answer_of(request_id)

    app = app_of(Handle(diagnose=slowly), timeout_seconds=0.15)
    answers = batch(app, *[LINE] * (5 * application.LINES_AT_ONCE))
    assert [reason(answer) for answer in answers] == [None] * len(answers)


def test_lines_wait_for_a_replica_that_is_replaced_or_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "RETRY_AFTER", 0.001)
    failures: list[Exception] = [RuntimeError("killed"), BackPressureError(1, 1)]

    async def failing_first(request_id: str, request: Any) -> Any:
        if failures:
            raise failures.pop()
        return answer_of(request_id)

    assert reason(batch(app_of(Handle(diagnose=failing_first)), LINE)[0]) is None
    assert failures == []


def test_lines_of_a_batch_count_against_the_rate() -> None:
    app = app_of(Handle(diagnose=diagnose), requests_per_minute=4)
    asked = ("POST", "/v1/diagnose", {"json": NOTE})
    lines = ("POST", "/v1/batch", {"content": "\n".join([LINE] * 3)})
    assert [r.status_code for r in ask(app, lines, asked, asked)] == [200, 200, 429]


def test_lines_beyond_the_rate_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    waits = iter([0.0, 7.5, 0.0])

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(application.asyncio, "sleep", sleep)

    async def collect() -> list[str]:
        service: Any = application.Service(
            Handle(diagnose=diagnose), None, application.ServingConfig()
        )
        lines = [LINE.encode()] * 3
        return [
            a async for a in application._answer_lines(service, "b", lines, lambda: next(waits))
        ]

    assert len(still_clock.run(collect())) == 3
    assert waited == [7.5]


def test_lines_are_counted_before_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_LINES", 3)
    assert bodies.split_lines(b"") == []
    assert bodies.split_lines(b"a\r\nb\n\n") == [b"a\r", b"b", b""]
    with pytest.raises(RequestRefused, match="at most 3 lines"):
        bodies.split_lines(b"a\n" * 4)

    class Uncut(bytes):
        def removesuffix(self, *_: Any) -> "Uncut":
            return self

        def split(self, *_: Any) -> Any:
            raise AssertionError("cut")

    with pytest.raises(RequestRefused):
        bodies.split_lines(Uncut(b"\n" * 9))


def test_a_long_line_is_refused_in_its_place() -> None:
    long = json.dumps({"note": "a" * bodies.MOST_JSON_BYTES})
    answers = batch(app_of(Handle(diagnose=diagnose)), LINE, long, LINE)
    assert [reason(answer) for answer in answers] == [None, "too_large", None]


@pytest.mark.parametrize(
    ("path", "size", "refused"),
    [
        ("/v1/diagnose", bodies.MOST_JSON_BYTES + 1, True),
        ("/healthz", bodies.MOST_OTHER_BYTES + 1, True),
        ("/nowhere", bodies.MOST_OTHER_BYTES + 1, True),
        ("/v1/tissue", bodies.MOST_JSON_BYTES + 1, False),
    ],
)
def test_each_route_has_a_limit_that_holds_before_anything_is_parsed(
    path: str, size: int, refused: bool
) -> None:
    async def tissue(request_id: str, image: bytes, options: Any) -> Any:
        return answer_of(request_id)

    [response] = ask(app_of(Handle(tissue=tissue)), ("POST", path, {"content": b" " * size}))
    assert (response.status_code == 413) is refused


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengths of the JSON that a parser gets, which refuses it."""
    lengths: list[int] = []

    def parse(body: bytes) -> Any:
        lengths.append(len(body))
        raise RequestRefused(422, "parsed", "parsed")

    for kind in (
        application.ChatRequest,
        application.TissueRequest,
        application.DiagnoseRequest,
    ):
        monkeypatch.setattr(kind, "model_validate_json", parse)
    return lengths


@pytest.mark.parametrize("element", [b"[]", b"{}", b"1", b'"a":1', b"[[[["])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/tissue", "/v1/diagnose"])
def test_json_of_many_parts_is_refused_before_it_is_parsed(
    path: str, element: bytes, parsed: list[int]
) -> None:
    content = b",".join([element] * (bodies.MOST_JSON_PARTS + 2))
    assert len(content) < bodies.MOST_JSON_BYTES  # so its length is no reason
    headers = {"Content-Type": "application/json"}
    [response] = ask(app_of(Handle()), ("POST", path, {"content": content, "headers": headers}))
    assert (response.status_code, reason(response.json())) == (413, "too_large")
    assert parsed == []


def test_a_line_of_many_parts_is_refused_in_its_place(parsed: list[int]) -> None:
    lines = [LINE, '{"terms":[' + "[]," * bodies.MOST_JSON_PARTS + "[]]}"]
    assert [reason(body) for body in batch(app_of(Handle()), *lines)] == ["parsed", "too_large"]
    assert parsed == [len(LINE)]


def test_the_parts_of_a_message_are_counted_before_they_are_validated() -> None:
    many = {"role": "user", "content": [{}] * 5_000}
    more = {"json": {"messages": [many]}}
    [response] = ask(app_of(Handle()), ("POST", "/v1/chat/completions", more))
    assert response.status_code == 422
    assert "at most 200 items" in response.json()["error"]["message"]


def test_a_long_string_is_no_reason_to_refuse() -> None:
    body = json.dumps({"image": "A" * (bodies.MOST_JSON_BYTES + 1)}).encode()
    assert bodies.check_parts(body) is body


async def slow_client(made: guard.Guard, parts: list[bytes], pause: float) -> int:
    """Status of a request whose body comes in parts with pauses."""
    sent: list[Any] = []
    waiting = list(parts)

    async def receive() -> Any:
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/diagnose", "headers": []}
    await made({**scope, "client": ("192.0.2.1", 1)}, receive, send)
    return int(sent[0]["status"])


async def reads(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_a_body_has_to_arrive_in_time() -> None:
    made = guard.Guard(reads, ApiKeys(None, ""), RateLimit(99), 1024, body_seconds=0.1)
    assert still_clock.run(slow_client(made, [b"a"] * 9, pause=0.03)) == 408
    assert still_clock.run(slow_client(made, [b"a"] * 2, pause=0.01)) == 200
    assert not made._arriving


def test_slow_bodies_of_one_caller_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_BODIES", 3)
    made = guard.Guard(reads, ApiKeys(None, ""), RateLimit(99), 1024, body_seconds=0.1)

    async def attack() -> list[int]:
        return await asyncio.gather(*(slow_client(made, [b"a"] * 9, 0.05) for _ in range(5)))

    assert sorted(still_clock.run(attack())) == [408, 408, 408, 429, 429]
    assert still_clock.run(slow_client(made, [b"a"], pause=0)) == 200


def test_health_is_asked_once_for_all_who_want_to_know() -> None:
    now, asked = [0.0], list[float]()

    async def models() -> None:
        asked.append(now[0])
        await asyncio.sleep(0.01)

    async def many() -> list[str]:
        health = Health(models, clock=lambda: now[0])
        states = await asyncio.gather(*(health.state() for _ in range(64)))
        states.append(await health.state())
        now[0] = 2.0
        return [*states, await health.state()]

    assert set(still_clock.run(many())) == {"ok"}
    assert asked == [0.0, 2.0]


@pytest.mark.parametrize(
    ("error", "status", "state"),
    [(BackPressureError(1, 1), 200, "busy"), (RuntimeError("dead"), 503, None)],
)
def test_a_busy_model_is_healthy_and_a_dead_one_is_not(
    error: Exception, status: int, state: str | None
) -> None:
    async def about() -> Any:
        raise error

    [response] = ask(app_of(Handle(about=about)), ("GET", "/healthz", {}))
    assert (response.status_code, response.json().get("status")) == (status, state)


def test_an_address_with_a_slash_too_many_repeats_nothing() -> None:
    path = "/v1/diagnose/?canary=canary"
    [response] = ask(app_of(Handle(diagnose=diagnose)), ("POST", path, {"json": NOTE}))
    assert (response.status_code, reason(response.json())) == (404, "no_route")
    assert "canary" not in str(response.headers)
