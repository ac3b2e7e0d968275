"""Errors for people, found in what Ray, Arrow and the system raise."""

import errno
from pathlib import Path

import pyarrow as pa
import pytest
import ray
from ray.exceptions import RayTaskError

from mint_ray import cli
from mint_ray.commands.failures import find_mint_error, was_interrupted
from mint_ray.errors import DataError


def test_an_error_of_ours_is_found_at_any_depth() -> None:
    inner = DataError("expected a, found b")
    assert find_mint_error(inner) is inner
    wrapped = RayTaskError("map", "File x, line 1\n" * 90, inner).as_instanceof_cause()
    found = find_mint_error(wrapped)
    assert (type(found), str(found)) == (DataError, "expected a, found b")
    other = ValueError("another library's words")
    other.__cause__ = wrapped
    assert str(find_mint_error(other)) == "expected a, found b"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/data/cases.parquet"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        pa.ArrowIOError("Error writing bytes to file. Detail: [errno 28] No space left on device"),
    ],
)
def test_a_full_disk_is_said_in_one_line(error: OSError) -> None:
    found = find_mint_error(error)
    assert found is not None
    assert "no space is left" in str(found)
    assert "\n" not in str(found)


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_mint_error(KeyError("x")) is None

    def broken(**_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(cli.cli, "main", broken)
    with pytest.raises(KeyError):
        cli.main([])


def test_an_interrupt_that_became_an_error_is_an_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise ConnectionError("the server was interrupted too")

    monkeypatch.setattr(cli.cli, "main", interrupted)
    assert cli.main([]) == 130
    assert capsys.readouterr().err == "mint: interrupted; the same command continues\n"
    assert not was_interrupted(KeyError("x"))


@pytest.mark.cluster
def test_a_workers_error_is_one_line(
    ray_cluster: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @ray.remote
    def fail() -> None:
        raise DataError("expected a, found b; do c")

    monkeypatch.setattr(cli.cli, "main", lambda **_: ray.get(fail.remote()))
    assert cli.main([]) == 1
    assert capsys.readouterr().err.strip() == "mint: DataError: expected a, found b; do c"


def test_a_disk_without_space_ends_a_command_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(f"store: {tmp_path / 'runs'}\n", encoding="utf-8")
    error = OSError(errno.ENOSPC, "No space left on device", "/data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_text", lambda *_, **__: (_ for _ in ()).throw(error))
        code = cli.main(["cases", str(config), "tracking.enabled=false"])
    assert code == 1
    assert "MintError: no space is left on the disk of /data" in capsys.readouterr().err
