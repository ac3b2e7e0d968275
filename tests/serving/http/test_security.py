"""Keys, rates and their limits."""

import hashlib
import os
import time
from itertools import pairwise
from pathlib import Path

import pytest
from limits.storage import MemoryStorage

from mint_ray.errors import ConfigError
from mint_ray.serving.http import security
from mint_ray.serving.http.security import ApiKeys, RateLimit


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def test_keys_of_a_file_rotate_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of the ward\n{digest('one')}\n\n{digest('two').upper()}  # new\n")
    keys = ApiKeys(file, "")
    assert keys.required
    assert keys.holder("one") == digest("one")[:8]
    assert keys.holder("two") is not None
    assert keys.holder("three") is None
    assert keys.holder(None) is None
    file.write_text(digest("three"))
    os.utime(file, ns=(1, 1))
    assert keys.holder("one") is None
    assert keys.holder("three") is not None


def test_a_damaged_file_of_keys_leaves_the_keys_read_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    file.write_text(digest("one"))
    keys = ApiKeys(file, "")
    file.write_text(f"{digest('two')}\nsecret key")
    os.utime(file, ns=(1, 1))
    assert [keys.holder("one") is not None for _ in range(3)] == [True] * 3
    assert keys.holder("two") is None
    assert len(caplog.records) == 1
    assert "line 2" in caplog.text
    assert "secret" not in caplog.text
    file.write_text(digest("two"))
    assert keys.holder("two") is not None


def test_a_deleted_file_of_keys_revokes_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    file.write_text(digest("one"))
    keys = ApiKeys(file, "")
    file.unlink()
    assert (keys.holder("one"), keys.required, keys.available) == (None, True, False)
    assert "1 keys are revoked" in caplog.text
    file.write_text(digest("one"))
    assert keys.holder("one") is not None


def test_keys_can_be_required_where_none_is_known(caplog: pytest.LogCaptureFixture) -> None:
    keys = ApiKeys(None, "", required=True)
    assert (keys.required, keys.available, keys.holder("one")) == (True, False, None)
    assert "no API key is known" in caplog.text


def test_keys_of_the_environment(tmp_path: Path) -> None:
    keys = ApiKeys(None, f"{digest('one')}, {digest('two')}")
    assert keys.holder("two") is not None
    assert not ApiKeys(None, "").required
    assert ApiKeys(None, "").holder("one") is None


@pytest.mark.parametrize("text", ["secret", digest("a")[:-1], digest("a") + "0", "g" * 64])
def test_a_key_in_place_of_its_hash_is_refused_and_not_repeated(text: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ConfigError, match="expected 64 hex digits") as refused:
        ApiKeys(tmp_path / "keys", "")
    assert text not in str(refused.value)
    with pytest.raises(ConfigError, match="readable file"):
        ApiKeys(tmp_path / "none", "")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of a clock that a test turns; it begins in the middle of a minute."""
    found = [60 * 10**6 + 30.0]
    monkeypatch.setattr(time, "time", lambda: found[0])
    return found


@pytest.mark.parametrize("per_minute", [1, 6, 60, 600])
def test_a_caller_may_ask_at_once_what_a_minute_allows_and_then_waits(
    per_minute: int, now: list[float]
) -> None:
    limit = RateLimit(per_minute)
    assert [limit.wait("a") for _ in range(per_minute)] == [0] * per_minute
    assert limit.wait("a") > 0
    assert limit.wait("b") == 0
    now[0] += 120
    assert limit.wait("a") == 0


@pytest.mark.parametrize("per_minute", [1, 6, 60, 600])
@pytest.mark.parametrize("second", [0.0, 12.3, 59.9])
def test_who_waits_as_told_may_ask_and_no_sooner(
    per_minute: int, second: float, now: list[float]
) -> None:
    limit = RateLimit(per_minute)
    now[0] += second
    asked: list[float] = []
    for _ in range(per_minute + 20):
        while (wait := limit.wait("a")) > 0:
            now[0] += wait * 0.9
            assert limit.wait("a") > 0, "sooner than told"
            now[0] += wait * 0.1 + 0.002
        asked.append(now[0])
    waits = [later - earlier for earlier, later in pairwise(asked[per_minute:])]
    assert max(waits) < 60 / per_minute + 1 if per_minute > 1 else max(waits) < 61
    # A window that is estimated may be exceeded, but by less than a bucket of tokens would.
    assert max(sum(t <= u < t + 60 for u in asked) for t in asked) <= 2 * per_minute


def test_the_rates_of_many_callers_take_a_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "MOST_CALLERS", 100)
    limit = RateLimit(1)
    for number in range(5_000):
        limit.wait("who asks all the time")
        assert limit.wait(f"address-2001:db8::{number:x}") == 0
    held = limit._windows.storage
    assert isinstance(held, MemoryStorage)
    assert {len(limit._callers), len(held.storage), len(held.expirations)} == {100}
    assert len(held.locks) <= 100
    # Who asks all the time is not forgotten, so others cannot give it another minute.
    assert limit.wait("who asks all the time") > 0
