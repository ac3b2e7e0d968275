"""Tests of the check of a machine."""

from pathlib import Path

import pytest

from mint_ray.commands.doctor import _tracking, find_conflicts


def _install(folder: Path, name: str, version: str, *needs: str) -> None:
    """Write the metadata of an installed package."""
    file_name = name.replace("-", "_")
    info = folder / f"{file_name}-{version}.dist-info"
    info.mkdir()
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {need}" for need in needs)]
    (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_package_that_another_program_downgraded_is_named(installed: Path) -> None:
    _install(installed, "zz-service", "1.0", "zz-wire>=7", "zz-absent>=2")
    _install(installed, "zz-platform", "1.0", "zz-service")
    _install(installed, "zz-wire", "6.3")
    assert find_conflicts("zz-platform") == ["zz-service needs zz-wire>=7, found 6.3"]


def test_requirements_of_extras_count_only_where_the_extra_is_asked_for(installed: Path) -> None:
    _install(installed, "zz-service", "1.0", 'zz-wire>=7; extra == "serve"')
    _install(installed, "zz-wire", "6.3")
    _install(installed, "zz-plain", "1.0", "zz-service")
    _install(installed, "zz-serving", "1.0", "zz-service[serve]")
    assert find_conflicts("zz-plain") == []
    assert find_conflicts("zz-serving") == ["zz-service needs zz-wire>=7, found 6.3"]


def test_circles_of_requirements_end(installed: Path) -> None:
    _install(installed, "zz-one", "1.0", "zz-two")
    _install(installed, "zz-two", "1.0", "zz-one")
    assert find_conflicts("zz-one") == []


@pytest.mark.parametrize(
    "uri", ["postgresql://ward:canary@db/mlflow", "mssql://db/mlflow?PWD=canary&trust=yes"]
)
def test_the_password_of_the_tracking_store_is_not_printed(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    said: list[object] = []
    _tracking(said.append)
    assert "canary" not in str(said)
    assert "***" in str(said)
