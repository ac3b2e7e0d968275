"""A small HTTP server that speaks chat completions and fails when told to."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


@dataclass
class FakeServer:
    """State of the server.

    Attributes:
        reply: text of the answer to a request, or a whole completion.
        failures: what happens to the next requests, first to last: a status, "garbage", "html",
            "drop" or "silent".
        bodies: requests so far, failed ones included.
        keys: their authorization headers.
    """

    reply: Callable[[Body], str | Body]
    failures: list[int | str] = field(default_factory=list)
    bodies: list[Body] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def take(self, body: Body, key: str | None) -> int | str | None:
        with self.lock:
            self.bodies.append(body)
            self.keys.append(key)
            return self.failures.pop(0) if self.failures else None


def completion(text: str, **choice: Any) -> Body:
    message = {"role": "assistant", "content": text}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "fake",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}],
        "usage": {"prompt_tokens": 70, "completion_tokens": 30, "total_tokens": 100},
    }


@contextmanager
def serving(server: FakeServer) -> Iterator[FakeServer]:
    """Run the server on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            failure = server.take(body, self.headers.get("Authorization"))
            if failure == "drop":
                self.close_connection = True
                self.connection.close()
                return
            if failure == "silent":
                self.rfile.read()  # until the client has closed the connection
                return
            if isinstance(failure, int):
                # A server that repeats the prompt in its error: the client must not show it.
                self._send(failure, json.dumps({"error": {"message": json.dumps(body)}}))
            elif failure in ("garbage", "html"):
                content = "application/json" if failure == "garbage" else "text/html"
                self._send(200, "<html>busy" if failure == "html" else '{"choices": "?', content)
            else:
                answer = server.reply(body)
                whole = completion(answer) if isinstance(answer, str) else answer
                self._send(200, json.dumps(whole))

        def _send(self, status: int, text: str, kind: str = "application/json") -> None:
            content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("retry-after-ms", "5")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
