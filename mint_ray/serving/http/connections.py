"""Time limit of a request's headers, in the HTTP server of Ray Serve's proxies.

uvicorn closes a connection that is idle after an answer, but waits without end for the headers of a
request. Neither it nor Ray Serve has a setting for that, so its protocol is extended here: many
connections that send a byte now and then would take the proxy's sockets from everybody else.
"""

import asyncio
from typing import Any

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEADER_SECONDS = 20.0
"""Time from the opening of a connection, or from the first byte of a later request on it, until the
headers must be there."""
IMPORT_PATH = "mint_ray.serving.http.connections:TimedProtocol"


class TimedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's protocol of a connection, which is closed where headers do not arrive in time.

    It is closed without an answer: a browser opens connections in advance, and would take an error
    for the answer to its next request.
    """

    _overdue: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the headers of the first request."""
        super().connection_made(transport)
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request; the application limits the arrival of the body itself."""
        if self._is_between_requests():
            self._wait_for_headers()
        super().data_received(data)
        # A WebSocket has a protocol of its own, which has taken this one's place.
        if not self._is_between_requests() or self.transport.get_protocol() is not self:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _is_between_requests(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def _wait_for_headers(self) -> None:
        if self._overdue is None:
            self._overdue = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None


def limit_header_time() -> None:
    """Give the HTTP servers that this process starts from now on the time limit of headers."""
    HTTP_PROTOCOLS["auto"] = IMPORT_PATH
