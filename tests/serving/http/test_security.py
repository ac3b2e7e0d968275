"""Keys, rates and their limits."""

import hashlib
import os
from pathlib import Path

import pytest

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


def test_a_caller_that_asks_too_often_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    limit = RateLimit(6, clock=lambda: now[0])
    assert [limit.wait("a") for _ in range(6)] == [0] * 6
    assert limit.wait("a") == pytest.approx(10)
    assert limit.wait("b") == 0
    now[0] = 10.1
    assert limit.wait("a") == 0
    monkeypatch.setattr(security, "MOST_CALLERS", 3)
    for number in range(50):
        limit.wait(str(number))
    assert len(limit._buckets) == 3
