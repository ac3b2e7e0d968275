"""API keys, rate limits and security headers, independent of the HTTP framework."""

import hashlib
import hmac
import logging
import os
import time
from collections import OrderedDict
from pathlib import Path

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from mint_ray.errors import ConfigError

logger = logging.getLogger(__name__)

KEY_HASHES = "MINT_API_KEY_HASHES"
"""Environment variable with hashes of API keys, separated by commas."""
MOST_CALLERS = 10_000
"""Most callers whose rate is remembered; the least recent ones are forgotten."""
_SHORTEST_WAIT = 0.001
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

    A changed file that cannot be used leaves the keys that were read last. A deleted file leaves
    none of them, because deleting it is how an operator revokes every key at once.

    Args:
        file: one SHA-256 in hex per line; `#` starts a comment.
        environment: hashes separated by commas; None for the variable `MINT_API_KEY_HASHES`.
        required: whether requests need a key even if none is known here. The service may have been
            checked in another process, on another machine, whose environment had keys.

    Raises:
        ConfigError: the file cannot be read, or an entry is not a hash.
    """

    def __init__(
        self, file: Path | None, environment: str | None = None, *, required: bool = False
    ) -> None:
        listed = os.environ.get(KEY_HASHES, "") if environment is None else environment
        self._from_environment = frozenset(
            _hash(part) for part in listed.split(",") if part.strip()
        )
        self._file = file
        self._file_time: int | None = None
        self._from_file: frozenset[str] = frozenset()
        self.required = required or bool(file or self._from_environment)
        """Require a key of every request."""
        if file is not None:
            self._file_time, self._from_file = _read_file(file)
        if self.required and not self.available:
            logger.error("no API key is known, so every request that needs one is refused")

    @property
    def available(self) -> bool:
        """Return whether any key is accepted."""
        self._refresh()
        return bool(self._from_file or self._from_environment)

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
            # Remembered before reading, so that a damaged file is complained about once.
            self._file_time = file_time
            self._file_time, self._from_file = _read_file(self._file)
        except FileNotFoundError:
            self._revoke()
        except (OSError, ConfigError) as error:
            logger.warning("API keys were not read again; those read last stay: %s", error)

    def _revoke(self) -> None:
        if self._from_file:
            logger.error(
                "serving.api_keys=%s is gone: its %d keys are revoked until it is back",
                self._file,
                len(self._from_file),
            )
        self._file_time, self._from_file = None, frozenset()


def _read_file(file: Path) -> tuple[int, frozenset[str]]:
    """Return the time of the last change (ns) of a file of hashes, and the hashes.

    Raises:
        ConfigError: the file cannot be read, or a line is not a hash.
    """
    try:
        file_time = file.stat().st_mtime_ns
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"serving.api_keys={file}: expected a readable file with one SHA-256 in hex "
            f"per line ({type(error).__name__}); check its path and its permissions"
        ) from error
    hashes = set()
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        try:
            hashes |= {_hash(text)} if text else set()
        except ConfigError as error:
            raise ConfigError(f"serving.api_keys={file}, line {number}: {error}") from error
    return file_time, frozenset(hashes)


def _hash(text: str) -> str:
    digest = text.strip().lower()
    if len(digest) != 64 or any(character not in "0123456789abcdef" for character in digest):
        raise ConfigError(
            "hash of an API key: expected 64 hex digits, the SHA-256 of the key, found something "
            'else; compute it with python -c "import hashlib, getpass; '
            'print(hashlib.sha256(getpass.getpass().encode()).hexdigest())"'
        )
    return digest


class RateLimit:
    """Rates of callers over a sliding window of a minute.

    The window is a library's: it weighs the fixed minutes that it covers, so a caller may ask
    `per_minute` times at once, and goes on evenly after that. Its storage forgets a caller after
    two minutes, but holds any number of them, and looks through all of them again and again: so
    the callers are limited here.

    Args:
        per_minute: requests that a caller may make per minute, and also at once.
    """

    def __init__(self, per_minute: int) -> None:
        self._item = RateLimitItemPerMinute(per_minute)
        self._windows = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._callers: OrderedDict[str, None] = OrderedDict()

    def wait(self, caller: str) -> float:
        """Count a request; return 0, or the seconds until the caller may make its next one."""
        self._callers[caller] = None
        self._callers.move_to_end(caller)
        while len(self._callers) > MOST_CALLERS:
            self._windows.clear(self._item, self._callers.popitem(last=False)[0])
        if self._windows.hit(self._item, caller):
            return 0.0
        again_at, _ = self._windows.get_window_stats(self._item, caller)
        return max(again_at - time.time(), _SHORTEST_WAIT)
