"""ASGI middleware for API keys, rate limits, body sizes, security headers and the audit log.

Plain ASGI rather than a framework's middleware, so that a body that is too large is refused while
it arrives, not after.
"""

import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from mint_ray.serving.http import static
from mint_ray.serving.http.origin import Hosts, Proxies
from mint_ray.serving.http.security import HEADERS, ApiKeys, RateLimit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

audit = logging.getLogger("mint_ray.audit")

OPEN = frozenset(("/healthz", *static.paths()))
"""Paths that need no API key, because they reveal nothing."""
REQUEST_ID = "x-mint-request-id"
"""Response header with the request id.

Ray Serve's own `x-request-id` repeats the client's value, so two requests could share an id.
"""


class _TooLarge(Exception):  # noqa: N818 - a request's fate
    """The body is longer than allowed."""


class Guard:
    """ASGI middleware that refuses requests before the application sees them.

    Args:
        app: the guarded ASGI application.
        keys: API keys that are accepted.
        limit: rate limit per caller.
        max_body_bytes: longest body of a request, in bytes.
        hosts: names that requests may ask for; empty for any name.
        proxies: addresses and networks of reverse proxies that name the caller's address.
        count: called with path, status and seconds of every answered request.
    """

    def __init__(
        self,
        app: App,
        keys: ApiKeys,
        limit: RateLimit,
        max_body_bytes: int,
        *,
        hosts: Iterable[str] = (),
        proxies: Iterable[str] = (),
        count: Callable[[str, int, float], None] = lambda path, status, seconds: None,
    ) -> None:
        self._app, self._keys, self._limit = app, keys, limit
        self._max_body_bytes, self._count = max_body_bytes, count
        self._hosts, self._proxies = Hosts(hosts), Proxies(proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the application, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started, status, bytes_read = time.perf_counter(), 500, 0

        async def counted() -> Message:
            nonlocal bytes_read
            message = await receive()
            bytes_read += len(message.get("body", b""))
            if bytes_read > self._max_body_bytes:
                raise _TooLarge
            return message

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                named = {**HEADERS, REQUEST_ID: request_id}
                added = [(k.lower().encode(), v.encode()) for k, v in named.items()]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        async def answer_of_app(message: Message) -> None:
            # A framework turns the `_TooLarge` raised while it reads into an error of its own,
            # which must not reach the client: the refusal below is the answer.
            if bytes_read <= self._max_body_bytes:
                await answer(message)

        caller, refusal = self._admit(scope, headers)
        try:
            if refusal is not None:
                await _refuse(answer, request_id, *refusal)
            else:
                await self._app(scope, counted, answer_of_app)
        except _TooLarge:
            text = f"expected a body of at most {self._max_body_bytes} bytes"
            await _refuse(answer, request_id, 413, "too_large", text)
        finally:
            seconds = time.perf_counter() - started
            self._count(scope["path"], status, seconds)
            audit.info("%s %s %s %d %.3f", request_id, caller, scope["method"], status, seconds)

    def _admit(
        self, scope: Scope, headers: MutableMapping[bytes, bytes]
    ) -> tuple[str, tuple[int, str, str] | tuple[int, str, str, float] | None]:
        """Identify the caller; return also the refusal (status, reason, message, wait) or None."""
        caller = f"address-{self._proxies.caller(scope.get('client'), headers)}"
        refusal = self._hosts.refusal(scope["method"], headers)
        if refusal is not None:
            return caller, refusal
        if self._keys.required and scope["path"] not in OPEN:
            if not self._keys.available:
                text = "the service has no API keys at present; its operator has to set some"
                return caller, (503, "no_keys", text)
            holder = self._keys.holder(_key_of(headers))
            if holder is None:
                return caller, (401, "no_key", "expected a valid API key as a bearer token")
            caller = f"key-{holder}"
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_body_bytes:
            text = f"expected a body of at most {self._max_body_bytes} bytes"
            return caller, (413, "too_large", text)
        wait = 0.0 if scope["path"] in OPEN else self._limit.wait(caller)
        if wait > 0:
            return caller, (429, "too_many_requests", "expected fewer requests a minute", wait)
        return caller, None


def _key_of(headers: MutableMapping[bytes, bytes]) -> str | None:
    """Return the key of `Authorization: Bearer` or `X-API-Key`; None without either."""
    authorization = headers.get(b"authorization", b"").decode("latin-1")
    kind, _, key = authorization.partition(" ")
    if kind.lower() == "bearer" and key:
        return key.strip()
    other = headers.get(b"x-api-key")
    return other.decode("latin-1") if other else None


def error_body(request_id: str, reason: str, message: str) -> dict[str, Any]:
    """Return the body of every error: `reason` is for programs, `message` for people."""
    return {"error": {"reason": reason, "message": message, "request_id": request_id}}


async def _refuse(
    send: Send, request_id: str, status: int, reason: str, text: str, wait: float | None = None
) -> None:
    body = json.dumps(error_body(request_id, reason, text)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if wait is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(wait + 0.5))))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
