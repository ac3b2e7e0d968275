"""Headers by which a client would steer Ray Serve."""

import asyncio
import os
from typing import Any

import pytest
from ray.serve._private.utils import call_function_from_import_path

from mint_ray.serving.http import front


def passed(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(scope["headers"])

    [middleware] = front.middlewares()
    wrapped: Any = middleware.cls(app, *middleware.args, **middleware.kwargs)
    asyncio.run(wrapped({"type": "http", "headers": headers}, None, None))
    return seen


UUID = b"1b4e28ba-2fa1-11d2-883f-0016d3cca427"


@pytest.mark.parametrize("value", [UUID, UUID.upper(), UUID.replace(b"-", b"")])
def test_a_request_id_that_is_a_uuid_is_kept(value: bytes) -> None:
    assert passed([(b"x-request-id", value)]) == [(b"x-request-id", value)]


@pytest.mark.parametrize(
    "header",
    [
        (b"x-request-id", UUID + b"0"),
        (b"x-request-id", b"maria-example-1951-04-17"),
        (b"x-request-id", b""),
        (b"x-request-id", b"\xff\xfe"),
        (b"x-request-id", b"a b"),
        (b"x-request-id", b"<script>"),
        (b"X_Request_ID", b"\xff"),
        (b"x-request-timeout-seconds", b"-1"),
        (b"x-request-timeout-seconds", b"\xff"),
        (b"x-request-disconnect-disabled", b"?1"),
        (b"serve-multiplexed-model-id", b"other"),
        (b"serve_multiplexed_model_id", b"\xff"),
        (b"x-session-id", b"\xff"),
    ],
)
def test_what_steers_ray_is_dropped(header: tuple[bytes, bytes]) -> None:
    assert passed([header, (b"accept", b"*/*")]) == [(b"accept", b"*/*")]


def test_ray_finds_the_middleware_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(front.VARIABLE, raising=False)
    front.put_before_proxies()
    [middleware] = call_function_from_import_path(os.environ[front.VARIABLE])
    assert middleware.cls is front.Front
