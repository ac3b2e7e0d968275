"""Files below a folder: links are followed once, loops end, nothing vanishes."""

import os
from pathlib import Path

import pytest

from mint_ray.common.folders import FOLDER_UNREADABLE, HIDDEN, LINKED_TWICE, files_below


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("root/a/1", "root/b/2", "away/x/3", "away/4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path / "root"


def found(root: Path) -> dict[str, str | None]:
    files = files_below(root)
    assert [file.name for file in files] == sorted({file.name for file in files})
    return dict(files)


def test_links_to_folders_and_files_are_followed(root: Path, tmp_path: Path) -> None:
    (root / "c").symlink_to(tmp_path / "away")
    (root / "a/linked").symlink_to(tmp_path / "away/4")
    (root / "empty").mkdir()
    os.link(root / "a/1", root / "b/hard")  # a file like any other
    names = ["a/1", "a/linked", "b/2", "b/hard", "c/4", "c/x/3"]
    assert found(root) == dict.fromkeys(names) | {"c/4": LINKED_TWICE}


def test_what_is_read_elsewhere_is_not_read_again(root: Path, tmp_path: Path) -> None:
    (root / "0").symlink_to("a")
    (root / "b/one").symlink_to("../a/1")
    (root / "x").symlink_to(tmp_path / "away/x")
    (root / "y").symlink_to(tmp_path / "away")
    assert found(root) == {
        "0": LINKED_TWICE,
        "a/1": None,
        "b/2": None,
        "b/one": LINKED_TWICE,
        "x/3": None,
        "y/4": None,
        "y/x": LINKED_TWICE,
    }


def test_hidden_stores_may_be_linked_to(root: Path) -> None:
    """As git-annex keeps files, and as caches keep folders."""
    for name in (".store/3", ".store/c/4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "a/3").symlink_to("../.store/3")
    (root / "a/again").symlink_to("../.store/3")
    (root / "c").symlink_to(".store/c")
    (root / ".store/loop").symlink_to(".")
    (root / "a/.link").symlink_to(root)
    assert found(root) == {
        ".store/3": HIDDEN,
        ".store/c/4": HIDDEN,
        ".store/loop": HIDDEN,
        "a/.link": HIDDEN,
        "a/1": None,
        "a/3": None,
        "a/again": LINKED_TWICE,
        "b/2": None,
        "c/4": None,
    }


def test_loops_end(root: Path, tmp_path: Path) -> None:
    (root / "a/self").symlink_to(".")
    (root / "a/up").symlink_to("..")
    (root / "b/above").symlink_to(tmp_path)
    (root / "b/mutual").symlink_to("mutual2")
    (root / "b/mutual2").symlink_to("mutual")
    (tmp_path / "away/back").symlink_to(root)
    (root / "c").symlink_to(tmp_path / "away")
    assert found(root) == {
        "a/1": None,
        "a/self": LINKED_TWICE,
        "a/up": LINKED_TWICE,
        "b/2": None,
        "b/above": LINKED_TWICE,
        "b/mutual": None,  # a link that leads nowhere is a file that cannot be read
        "b/mutual2": None,
        "c/4": None,
        "c/back": LINKED_TWICE,
        "c/x/3": None,
    }


def test_the_root_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert found(tmp_path / "link") == {"a/1": None, "b/2": None}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_counted(root: Path) -> None:
    (root / "a").chmod(0)
    try:
        assert found(root) == {"a": FOLDER_UNREADABLE, "b/2": None}
    finally:
        (root / "a").chmod(0o700)
