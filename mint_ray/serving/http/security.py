"""Who may ask, how often, and how much: keys, rates, sizes. Knows nothing of HTTP frameworks."""

import hashlib
import hmac
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mint_ray.errors import ConfigError

KEY_HASHES = "MINT_API_KEY_HASHES"
MOST_CALLERS = 10_000
"""Callers whose rate is remembered; the least recent are forgotten."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class ApiKeys:
    """Hashes of the keys that may ask; a file of them is read again when it changes.

    Args:
        file: one SHA-256 in hex per line; `#` starts a comment.
        environment: hashes separated by commas.

    Raises:
        ConfigError: the file cannot be read, or a hash is none.
    """

    def __init__(self, file: Path | None, environment: str | None = None) -> None:
        given = os.environ.get(KEY_HASHES, "") if environment is None else environment
        self._fixed = frozenset(_hash(item) for item in given.split(",") if item.strip())
        self._file = file
        self._changed: int | None = None
        self._read: frozenset[str] = frozenset()
        self._refresh()

    @property
    def required(self) -> bool:
        """Whether anybody needs a key."""
        return bool(self._file or self._fixed)

    def holder(self, key: str | None) -> str | None:
        """A short name of the key's hash, None where the key may not ask."""
        if key is None:
            return None
        self._refresh()
        found = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        # Every hash is compared, so that the time tells nothing.
        allowed = [hmac.compare_digest(found, known) for known in (*self._fixed, *self._read)]
        return found[:8] if any(allowed) else None

    def _refresh(self) -> None:
        if self._file is None:
            return
        try:
            changed = self._file.stat().st_mtime_ns
            if changed == self._changed:
                return
            lines = self._file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            if self._changed is not None:  # keys that are being replaced stay as they were
                return
            raise ConfigError(
                f"serving.api_keys={self._file}: expected a readable file with one SHA-256 in hex "
                f"a line ({type(error).__name__})"
            ) from error
        texts = (line.partition("#")[0].strip() for line in lines)
        self._read = frozenset(_hash(text) for text in texts if text)
        self._changed = changed


def _hash(text: str) -> str:
    found = text.strip().lower()
    if len(found) != 64 or any(character not in "0123456789abcdef" for character in found):
        raise ConfigError(
            "an API key's hash: expected 64 hex digits, the SHA-256 of the key, found something "
            'else; python -c "import hashlib, getpass; '
            'print(hashlib.sha256(getpass.getpass().encode()).hexdigest())" makes one'
        )
    return found


@dataclass
class _Bucket:
    tokens: float
    at: float


class RateLimit:
    """A token bucket for every caller.

    Args:
        per_minute: requests that a caller may make in a minute, and at once.
        clock: seconds.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = float(per_minute), clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait(self, caller: str) -> float:
        """0 where the caller may ask now, else the seconds after which it may."""
        now = self._clock()
        bucket = self._buckets.pop(caller, None) or _Bucket(self._most, now)
        refill = (now - bucket.at) * self._most / 60
        bucket = _Bucket(min(self._most, bucket.tokens + refill), now)
        self._buckets[caller] = bucket
        while len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0.0
        return (1 - bucket.tokens) * 60 / self._most
