"""Set-up of Ray Serve's HTTP proxies, before Ray reads a request's headers.

Ray obeys some headers of every client: one lengthens or lifts the time limit, one chooses the
request's id, which is logged and repeated at any length, and others choose a replica. Bytes in
them that are no UTF-8 make Ray fail. They are removed here, except for an id that is a UUID: any
other word could name a patient in the logs. The headers also have to arrive in time; see
`connections`.
"""

import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.middleware import Middleware

from mint_ray.serving.http.connections import limit_header_time

VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
"""Environment variable by which Ray Serve's proxies find `middlewares`, on every node."""
IMPORT_PATH = "mint_ray.serving.http.front:middlewares"

_UUID = re.compile(rb"[0-9a-f]{8}(-?)[0-9a-f]{4}(\1[0-9a-f]{4}){3}[0-9a-f]{8}", re.IGNORECASE)
_REQUEST_ID = b"x_request_id"
_OBEYED = frozenset(
    (
        b"x_request_timeout_seconds",
        b"x_request_disconnect_disabled",
        b"serve_multiplexed_model_id",
        b"x_session_id",
    )
)

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]


class Front:
    """ASGI middleware that removes the headers by which clients steer Ray Serve."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass a request on without those headers."""
        if scope["type"] in ("http", "websocket"):
            kept = [(name, value) for name, value in scope["headers"] if _is_kept(name, value)]
            scope = {**scope, "headers": kept}
        await self._app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """Return the middlewares of a proxy, and limit the time of its requests' headers.

    Ray Serve calls this in the process of each proxy before its server starts, as `VARIABLE` says.
    """
    limit_header_time()
    return [Middleware(Front)]


def put_before_proxies() -> None:
    """Let the proxies of a Ray that this process starts use `middlewares`."""
    os.environ.setdefault(VARIABLE, IMPORT_PATH)


def _is_kept(name: bytes, value: bytes) -> bool:
    folded = name.lower().replace(b"-", b"_")  # as Ray reads names
    if folded == _REQUEST_ID:
        return _UUID.fullmatch(value) is not None
    return folded not in _OBEYED
