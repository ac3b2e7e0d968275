"""Headers that arrive slowly or never, at the HTTP server as Ray Serve starts it."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
import uvicorn
from ray.serve._private.http_util import start_asgi_http_server
from ray.serve.config import HTTPOptions

from mint_ray.serving.http import connections, front
from tests import still_clock

T = TypeVar("T")
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LIMIT = 0.15


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer a GET at once, and a POST when its body is there."""
    while scope["method"] == "POST" and (await receive()).get("more_body"):
        pass
    head = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(autouse=True)
def _short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(uvicorn.config.HTTP_PROTOCOLS, "auto", connections.IMPORT_PATH)
    monkeypatch.setattr(connections, "HEADER_SECONDS", LIMIT)
    front.middlewares()  # as in a proxy's process, before its server starts


def with_server(work: Callable[[Callable[[], Awaitable[Streams]]], Awaitable[T]]) -> T:
    """Return what `work` returns, which gets a function that opens a connection."""

    async def run() -> T:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = HTTPOptions(host="127.0.0.1", port=port)
        loop = asyncio.get_running_loop()
        serving, server = await start_asgi_http_server(app, options, event_loop=loop)
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            return await work(lambda: asyncio.open_connection("127.0.0.1", port))
        finally:
            server.should_exit = True
            await serving

    return still_clock.run(run())


async def is_closed_in_time(reader: asyncio.StreamReader, began: float) -> bool:
    """Whether the server closes the connection, soon after the limit and without a word.

    `began` is a time before the connection, or the request on it, was opened.
    """
    try:
        said = await asyncio.wait_for(reader.read(), 20 * LIMIT)
    except TimeoutError:
        return False
    except ConnectionResetError:  # it had not read what was sent last
        said = b""
    return said == b"" and now() - began > 0.5 * LIMIT


def now() -> float:
    return asyncio.get_running_loop().time()


async def answer(streams: Streams, *parts: bytes, pause: float = 0) -> bytes:
    reader, writer = streams
    for part in parts:
        writer.write(part)
        await asyncio.sleep(pause)
    return await asyncio.wait_for(reader.readuntil(b"ok"), 10)


async def trickle(writer: asyncio.StreamWriter, first: bytes) -> None:
    """Begin a request, and send a byte of another header now and then, for ever."""
    try:
        writer.write(first)
        while not writer.is_closing():
            await asyncio.sleep(LIMIT / 5)
            writer.write(b"X")
            await writer.drain()
    except ConnectionError:
        return


@pytest.mark.parametrize("first", [None, REQUEST[:-2]])
def test_a_connection_without_headers_is_closed(first: bytes | None) -> None:
    async def work(connect: Callable[[], Awaitable[Streams]]) -> float:
        began = now()
        reader, writer = await connect()
        slowly = asyncio.create_task(trickle(writer, first)) if first else None
        assert await is_closed_in_time(reader, began)
        lasted = now() - began
        if slowly:
            slowly.cancel()
        writer.close()
        return lasted

    assert LIMIT <= with_server(work) <= 1.1 * LIMIT


def test_headers_of_a_later_request_have_the_same_time() -> None:
    async def work(connect: Callable[[], Awaitable[Streams]]) -> tuple[bytes, bytes, bool]:
        reader, writer = await connect()
        first = await answer((reader, writer), REQUEST)
        await asyncio.sleep(2 * LIMIT)  # idle between two requests, which has a limit of its own
        second = await answer((reader, writer), REQUEST[:9], REQUEST[9:])
        began = now()
        slowly = asyncio.create_task(trickle(writer, REQUEST[:-2]))
        closed = await is_closed_in_time(reader, began)
        slowly.cancel()
        writer.close()
        return first, second, closed

    first, second, closed = with_server(work)
    assert (first[:15], second[:15], closed) == (b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK", True)


def test_a_body_may_take_longer_than_the_headers() -> None:
    async def work(connect: Callable[[], Awaitable[Streams]]) -> bytes:
        streams = await connect()
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"
        found = await answer(streams, head, b"a", b"b", b"c", b"d", pause=LIMIT / 2)
        streams[1].close()
        return found

    assert with_server(work).startswith(b"HTTP/1.1 200 OK")


def test_many_slow_connections_leave_a_neighbour_alone() -> None:
    async def work(connect: Callable[[], Awaitable[Streams]]) -> tuple[bytes, list[bool]]:
        began = now()
        slow = [await connect() for _ in range(50)]
        tasks = [asyncio.create_task(trickle(writer, REQUEST[:-2])) for _, writer in slow]
        neighbour = await connect()
        found = await answer(neighbour, REQUEST)
        closed = await asyncio.gather(*(is_closed_in_time(reader, began) for reader, _ in slow))
        for task in tasks:
            task.cancel()
        for _, writer in (*slow, neighbour):
            writer.close()
        return found, closed

    found, closed = with_server(work)
    assert found.startswith(b"HTTP/1.1 200 OK")
    assert closed == [True] * 50
