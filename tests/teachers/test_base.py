"""The registry of teachers and the manifest of a fitted one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mint_ray.errors import TeacherError
from mint_ray.teachers import base


class Constant:
    """Every label alike."""

    labels = ("OMIM:1", "OMIM:2")
    revision = "1"

    def score(self, batch: Mapping[str, Any]) -> np.ndarray:
        return np.log(np.full((len(batch["terms"]), 2), 0.5, dtype=np.float32))

    def unusable_reasons(self, batch: Mapping[str, Any]) -> list[str]:
        return [""] * len(batch["terms"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a registered teacher."""
    monkeypatch.setattr(base, "_LOADERS", {})
    base.register_teacher("constant")(lambda folder, manifest: Constant())
    (tmp_path / "weights").write_bytes(b"123")
    base.write_manifest(tmp_path, "constant", ["weights"], {"width": 2})
    return tmp_path


def test_the_manifest_names_the_implementation(folder: Path) -> None:
    assert base.load_teacher(folder).labels == Constant.labels


def test_an_unregistered_name_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_LOADERS", {})
    with pytest.raises(TeacherError, match="'constant'"):
        base.load_teacher(folder)


def test_a_name_is_taken_once(folder: Path) -> None:
    with pytest.raises(ValueError, match="registered already"):
        base.register_teacher("constant")(lambda folder, manifest: Constant())


def test_an_empty_folder_says_how_to_fit(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match="mint teach"):
        base.load_teacher(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "constant"}', "\x00"])
def test_a_damaged_manifest_is_named(folder: Path, text: str) -> None:
    (folder / base.MANIFEST_FILE).write_text(text)
    with pytest.raises(TeacherError, match="damaged"):
        base.load_teacher(folder)


def test_the_revision_follows_files_and_settings(folder: Path) -> None:
    first = base.load_manifest(folder)["revision"]
    assert base.write_manifest(folder, "constant", ["weights"], {"width": 2})["revision"] == first
    assert base.write_manifest(folder, "constant", ["weights"], {"width": 3})["revision"] != first


def test_a_changed_file_is_found(folder: Path) -> None:
    manifest = base.load_manifest(folder)
    base.check_files(folder, manifest)
    (folder / "weights").write_bytes(b"124")
    with pytest.raises(TeacherError, match="damaged"):
        base.check_files(folder, manifest)
    (folder / "weights").unlink()
    with pytest.raises(TeacherError, match="damaged"):
        base.check_files(folder, manifest)


def test_a_manifest_keeps_its_form(folder: Path) -> None:
    manifest = json.loads((folder / base.MANIFEST_FILE).read_text())
    assert manifest.keys() == {"name", "revision", "files", "content"}
