"""API keys, rate limits and security headers, independent of the HTTP framework."""

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
"""Environment variable with hashes of API keys, separated by commas."""
MOST_CALLERS = 10_000
"""Most callers whose rate is remembered; the least recent ones are forgotten."""
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
    """Hashes of the accepted API keys; their file is read again when it changes.

    Args:
        file: one SHA-256 in hex per line; `#` starts a comment.
        environment: hashes separated by commas; None for the variable `MINT_API_KEY_HASHES`.

    Raises:
        ConfigError: the file cannot be read, or an entry is not a hash.
    """

    def __init__(self, file: Path | None, environment: str | None = None) -> None:
        listed = os.environ.get(KEY_HASHES, "") if environment is None else environment
        self._from_environment = frozenset(
            _hash(part) for part in listed.split(",") if part.strip()
        )
        self._file = file
        self._file_time: int | None = None
        self._from_file: frozenset[str] = frozenset()
        self._refresh()

    @property
    def required(self) -> bool:
        """Whether requests need a key."""
        return bool(self._file or self._from_environment)

    def holder(self, key: str | None) -> str | None:
        """Return the first 8 hex digits of the key's hash; None if the key is not accepted."""
        if key is None:
            return None
        self._refresh()
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        # Every hash is compared, in constant time, so that the duration reveals nothing.
        known = (*self._from_environment, *self._from_file)
        matches = [hmac.compare_digest(digest, accepted) for accepted in known]
        return digest[:8] if any(matches) else None

    def _refresh(self) -> None:
        if self._file is None:
            return
        try:
            file_time = self._file.stat().st_mtime_ns
            if file_time == self._file_time:
                return
            lines = self._file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            if self._file_time is not None:  # the file is being replaced: keep the keys read last
                return
            raise ConfigError(
                f"serving.api_keys={self._file}: expected a readable file with one SHA-256 in hex "
                f"per line ({type(error).__name__}); check its path and its permissions"
            ) from error
        texts = (line.partition("#")[0].strip() for line in lines)
        self._from_file = frozenset(_hash(text) for text in texts if text)
        self._file_time = file_time


def _hash(text: str) -> str:
    digest = text.strip().lower()
    if len(digest) != 64 or any(character not in "0123456789abcdef" for character in digest):
        raise ConfigError(
            "hash of an API key: expected 64 hex digits, the SHA-256 of the key, found something "
            'else; compute it with python -c "import hashlib, getpass; '
            'print(hashlib.sha256(getpass.getpass().encode()).hexdigest())"'
        )
    return digest


@dataclass
class _Bucket:
    tokens: float
    at: float


class RateLimit:
    """Token buckets, one per caller.

    Args:
        per_minute: requests that a caller may make per minute, and also at once.
        clock: current time in seconds.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = float(per_minute), clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait(self, caller: str) -> float:
        """Take a token; return 0, or the seconds until the caller may make its next request."""
        now = self._clock()
        bucket = self._buckets.pop(caller, None) or _Bucket(self._per_minute, now)
        refill = (now - bucket.at) * self._per_minute / 60
        bucket = _Bucket(min(self._per_minute, bucket.tokens + refill), now)
        self._buckets[caller] = bucket
        while len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0.0
        return (1 - bucket.tokens) * 60 / self._per_minute
