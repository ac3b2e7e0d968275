"""Limits of request bodies that hold before a body is parsed.

A parser needs about seventy bytes of memory for one byte of `[[],[],...`. The limits of a request's
fields come too late for that: they are looked at when everything is parsed.
"""

from mint_ray.serving.api.requests import MOST_PACKET_BYTES
from mint_ray.serving.http.service import RequestRefused

MOST_JSON_BYTES = MOST_PACKET_BYTES + 2**16
"""Longest JSON of a patient, and longest line of a batch: a phenopacket and fields beside it."""
MOST_LINES = 10_000
"""Most lines of a batch."""
MOST_OTHER_BYTES = 2**16
"""Longest body of a request to a route that reads none."""
MOST_JSON_PARTS = 20_000
"""Most objects, lists and elements of a JSON body or line. A published phenopacket has a thousand;
a million of them, which fit into `MOST_JSON_BYTES`, would keep the parser busy for seconds."""

_LONG = frozenset(("/v1/tissue", "/v1/batch", "/v1/chat/completions"))


def body_limit(path: str, most: int) -> int:
    """Return the longest body of a request to a path, in bytes; never more than `most`."""
    if path in _LONG:
        return most
    return min(most, MOST_JSON_BYTES if path == "/v1/diagnose" else MOST_OTHER_BYTES)


def check_parts(body: bytes) -> bytes:
    """Return a JSON body, or a line of a batch, that a parser may read.

    An image is one long string, in which none of the bytes that are counted occurs.

    Raises:
        RequestRefused: `too_large`.
    """
    if sum(map(body.count, (b"{", b"[", b","))) > MOST_JSON_PARTS:
        text = f"expected JSON of at most {MOST_JSON_PARTS} objects, lists and elements"
        raise RequestRefused(413, "too_large", text)
    return body


def split_lines(body: bytes) -> list[bytes]:
    """Return the lines of a batch.

    Raises:
        RequestRefused: `too_many_lines`.
    """
    text = body.removesuffix(b"\n")
    if text.count(b"\n") >= MOST_LINES:  # counted first: each line takes memory beyond its bytes
        raise RequestRefused(413, "too_many_lines", f"expected at most {MOST_LINES} lines")
    return text.split(b"\n") if text else []
