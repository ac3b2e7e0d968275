"""Versions, champions and the way back: on a SQLite registry and on an MLflow server."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mint_ray.errors import RegistryError
from mint_ray.tracking.registry import Registry, Version
from mint_ray.tracking.registry_table import comparison_lines, version_lines
from tests.tracking.servers import KINDS, free_port, store_uri

NAME = "mint-text"


@pytest.fixture(scope="module", params=KINDS)
def uri(
    request: pytest.FixtureRequest, empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An address of a registry that both kinds of test below fill, each under its own names."""
    file = tmp_path_factory.mktemp(request.param) / "mlflow.db"
    file.write_bytes(empty_store.read_bytes())
    with store_uri(request.param, file) as found:
        yield found


def add(registry: Registry, name: str, key: str, folder: Path, **tags: str) -> Version:
    folder.mkdir(exist_ok=True)
    (folder / "student.json").write_text(key)
    (folder / "scratch.txt").write_text("not the student's")
    return registry.register(name, key, folder, ["student.json"], {"objective": "orpo"} | tags)


def promote_two(registry: Registry, name: str, root: Path) -> None:
    """Version 1, then version 2, as champions."""
    for number in (1, 2):
        registry.promote(add(registry, name, f"calibrate-{number}", root / str(number)))


def cut_off(*_: Any, **__: Any) -> None:
    """Takes the place of a call in which the process ends."""
    raise KeyboardInterrupt


def test_a_better_one_a_worse_one_and_the_way_back(uri: str, tmp_path: Path) -> None:
    registry, name = Registry(uri), NAME
    assert registry.versions(name) == []
    assert registry.champion(name) is None
    first = add(registry, name, "calibrate-1", tmp_path / "1")
    registry.promote(first)
    second = add(registry, name, "calibrate-2", tmp_path / "2")
    registry.challenge(second)
    assert [v.aliases for v in registry.versions(name)] == [("challenger",), ("champion",)]
    registry.promote(second)
    champion = registry.champion(name)
    assert champion is not None
    assert (champion.number, champion.aliases) == (2, ("champion",))
    assert champion.tags["objective"] == "orpo"
    assert "MLFLOW_TRACKING_URI" not in os.environ  # registering left nothing behind
    assert registry.roll_back(name).number == 1
    assert registry.champion(name) == registry.versions(name)[1]
    with pytest.raises(RegistryError, match="found only version 1"):
        registry.roll_back(name)
    assert [line.split()[:2] for line in version_lines(registry) if line.startswith(name)] == [
        [name, "2"],
        [name, "1"],
    ]


def test_the_same_student_is_one_version(uri: str, tmp_path: Path) -> None:
    registry, name = Registry(uri), "mint-once"
    first = add(registry, name, "calibrate-9", tmp_path / "1")
    registry.promote(first)
    again = add(Registry(uri), name, "calibrate-9", tmp_path / "1")
    assert again.number == first.number == 1
    registry.promote(again)
    with pytest.raises(RegistryError, match="found only version 1"):
        registry.roll_back(name)


def test_cut_off_between_files_and_version(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, name = Registry(uri), "mint-cut"

    client = registry._client
    with monkeypatch.context() as patch:
        patch.setattr(client, "create_model_version", cut_off)
        with pytest.raises(KeyboardInterrupt):
            add(registry, name, "calibrate-7", tmp_path / "1")
    made = add(Registry(uri), name, "calibrate-7", tmp_path / "1")
    logged = client.search_logged_models(
        [client.get_experiment_by_name("mint_ray").experiment_id],
        filter_string="tags.`mint_ray.key` = 'calibrate-7'",
    )
    assert (made.number, len(logged)) == (1, 1)


def test_a_rollback_that_was_cut_off_goes_no_other_way(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, name = Registry(uri), "mint-back"
    promote_two(registry, name, tmp_path)

    with monkeypatch.context() as patch:
        patch.setattr(registry, "_write_history", cut_off)
        with pytest.raises(KeyboardInterrupt):
            registry.roll_back(name)
    with pytest.raises(RegistryError, match="found only version 1"):
        registry.roll_back(name)
    registry.promote(add(registry, name, "calibrate-3", tmp_path / "3"))
    assert registry.roll_back(name).number == 1  # not 2, which was rolled back


def test_a_promotion_that_was_cut_off_made_no_champion(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, name = Registry(uri), "mint-half"
    promote_two(registry, name, tmp_path)
    third = add(registry, name, "calibrate-3", tmp_path / "3")

    with monkeypatch.context() as patch:
        patch.setattr(registry._client, "set_registered_model_alias", cut_off)
        with pytest.raises(KeyboardInterrupt):
            registry.promote(third)
    assert registry.roll_back(name).number == 1


@pytest.mark.parametrize("secret", ["mint:secret", "mint:se/cret", "t0ken", "mint:p@ss"])
def test_a_password_is_told_to_nobody(secret: str) -> None:
    registry = Registry(f"postgresql://{secret}@db.example:5432/mlflow")
    assert registry.address == "postgresql://***@db.example:5432/mlflow"
    assert Registry("sqlite:////data/mlflow.db").address == "sqlite:////data/mlflow.db"


def test_the_files_of_a_version(uri: str, tmp_path: Path) -> None:
    registry, name = Registry(uri), "mint-files"
    registry.promote(add(registry, name, "calibrate-3", tmp_path / "1"))
    got = registry.download(f"models:/{name}@champion", tmp_path / "down")
    assert sorted(os.listdir(got)) == ["student.json"]
    assert (got / "student.json").read_text() == "calibrate-3"
    with pytest.raises(RegistryError, match="could not download"):
        registry.download(f"models:/{name}/8", tmp_path / "none")


def test_files_in_folders_keep_their_places(uri: str, tmp_path: Path) -> None:
    registry, name = Registry(uri), "mint-folders"
    below = tmp_path / "1" / "look_ups" / "knowledge"
    below.mkdir(parents=True)
    (below / "teacher.json").write_text("{}")
    files = ["look_ups/knowledge/teacher.json"]
    registry.promote(registry.register(name, "k", tmp_path / "1", files, {"objective": "orpo"}))
    got = registry.download(f"models:/{name}@champion", tmp_path / "down")
    assert (got / files[0]).read_text() == "{}"


def test_two_versions_side_by_side(uri: str, tmp_path: Path) -> None:
    registry, name = Registry(uri), "mint-pair"
    add(registry, name, "a", tmp_path / "1", **{"mint_ray.cases": "cases-1", "after.nll": "0.5"})
    add(registry, name, "b", tmp_path / "2", **{"mint_ray.cases": "cases-2", "after.nll": "0.4"})
    lines = list(comparison_lines(registry, name, 1, 2))
    assert "different cases" in lines[0]
    assert next(line.split() for line in lines if line.startswith("after.nll")) == [
        "after.nll",
        "0.5",
        "0.4",
    ]
    with pytest.raises(RegistryError, match=r"expected one of the versions 1, 2, found 3"):
        list(comparison_lines(registry, name, 1, 3))


def test_a_registry_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="same command again"):
        Registry(f"http://127.0.0.1:{free_port()}").versions(NAME)
