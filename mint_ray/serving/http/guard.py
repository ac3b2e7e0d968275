"""ASGI middleware for API keys, rate limits, body sizes, security headers and the audit log.

Plain ASGI rather than a framework's middleware, so that a body that is too large is refused while
it arrives, not after.
"""

import asyncio
import json
import logging
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from mint_ray.serving.http import static
from mint_ray.serving.http.bodies import body_limit
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


MOST_BODIES = 32
"""Most bodies of one caller that arrive at the same time. Those that arrived are not counted."""
_WITH_BODY = ("POST", "PUT", "PATCH")
_MOST_DIGITS = 20


class _BodyRefused(Exception):  # noqa: N818 - a request's fate
    """The body is too long, or arrives too slowly: status, reason, message."""


class Guard:
    """ASGI middleware that refuses requests before the application sees them.

    Args:
        app: the guarded ASGI application.
        keys: API keys that are accepted.
        limit: rate limit per caller.
        max_body_bytes: longest body of a request, in bytes.
        body_seconds: time that a body may take to arrive.
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
        body_seconds: float = 20,
        hosts: Iterable[str] = (),
        proxies: Iterable[str] = (),
        count: Callable[[str, int, float], None] = lambda path, status, seconds: None,
    ) -> None:
        self._app, self._keys, self._limit = app, keys, limit
        self._max_body_bytes, self._count = max_body_bytes, count
        self._body_seconds = body_seconds
        self._arriving: Counter[str] = Counter()
        self._hosts, self._proxies = Hosts(hosts), Proxies(proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the application, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        request_id = uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        started, status = time.perf_counter(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                named = {**HEADERS, REQUEST_ID: request_id}
                added = [(k.lower().encode(), v.encode()) for k, v in named.items()]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        caller, refusal = self._admit(scope, headers)
        state["take"] = lambda: self._limit.wait(caller)
        body = self._expect_body(scope, receive, caller)

        async def answer_of_app(message: Message) -> None:
            # A framework turns the `_BodyRefused` raised while it reads into an error of its own,
            # which must not reach the client: the refusal below is the answer.
            if body.refusal is None:
                await answer(message)

        try:
            if refusal is not None:
                await _refuse(answer, request_id, *refusal)
            else:
                await self._app(scope, body.receive, answer_of_app)
        except _BodyRefused as error:
            await _refuse(answer, request_id, *error.args)
        finally:
            body.close()
            seconds = time.perf_counter() - started
            self._count(scope["path"], status, seconds)
            audit.info("%s %s %s %d %.3f", request_id, caller, scope["method"], status, seconds)

    def _expect_body(self, scope: Scope, receive: Receive, caller: str) -> "_Body":
        most = body_limit(scope["path"], self._max_body_bytes)
        counter = self._arriving if scope["method"] in _WITH_BODY else Counter()
        return _Body(receive, most, self._body_seconds, counter, caller)

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
        most = body_limit(scope["path"], self._max_body_bytes)
        # Of very many digits, zeros among them, Python makes no number.
        if not length.isdigit() or len(length) > _MOST_DIGITS or int(length) > most:
            return caller, (413, "too_large", f"expected a body of at most {most} bytes")
        if scope["method"] in _WITH_BODY and self._arriving[caller] >= MOST_BODIES:
            text = f"expected at most {MOST_BODIES} bodies that arrive at the same time"
            return caller, (429, "too_many_bodies", text, 1.0)
        wait = 0.0 if scope["path"] in OPEN else self._limit.wait(caller)
        if wait > 0:
            return caller, (429, "too_many_requests", "expected fewer requests a minute", wait)
        return caller, None


class _Body:
    """The body of one request while it arrives, within its limits of length and time.

    Args:
        receive: ASGI's function.
        most: longest body, in bytes.
        seconds: time that it may take.
        arriving: bodies under way, by caller; this one is among them until it has arrived.
        caller: the caller's name there.
    """

    def __init__(
        self, receive: Receive, most: int, seconds: float, arriving: Counter[str], caller: str
    ) -> None:
        self._receive, self._most, self._seconds = receive, most, seconds
        self._arriving, self._caller = arriving, caller
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._read, self._is_open = 0, True
        arriving[caller] += 1
        self.refusal: _BodyRefused | None = None

    async def receive(self) -> Message:
        """Return the next part; after the last one, wait for the client to go away.

        Raises:
            _BodyRefused: it is too long or too slow.
        """
        if not self._is_open:
            return await self._receive()
        left = self._deadline - asyncio.get_running_loop().time()
        try:
            message = await asyncio.wait_for(self._receive(), max(left, 0.001))
        except TimeoutError:
            text = f"expected the whole body within {self._seconds:g} seconds"
            raise self._refuse(408, "slow_body", text) from None
        self._read += len(message.get("body", b""))
        if self._read > self._most:
            text = f"expected a body of at most {self._most} bytes"
            raise self._refuse(413, "too_large", text)
        if not message.get("more_body", False):
            self.close()
        return message

    def close(self) -> None:
        """Take the body off the list of those under way."""
        if self._is_open:
            self._is_open = False
            self._arriving[self._caller] -= 1
            if self._arriving[self._caller] <= 0:
                del self._arriving[self._caller]

    def _refuse(self, *why: object) -> _BodyRefused:
        self.refusal = _BodyRefused(*why)
        self.close()
        return self.refusal


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
