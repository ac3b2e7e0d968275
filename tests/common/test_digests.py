"""Digests name content: the same from version to version, since folders are named by them."""

import hashlib
from pathlib import Path

from mint_ray.common.digests import digest_of, folder_revision, sha256

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""The example of FIPS 180-2."""


def test_parts_are_hashed_one_after_the_other() -> None:
    assert digest_of("abc") == digest_of(b"a", "b", b"c") == ABC
    assert digest_of("ä") == digest_of("ä".encode())
    assert digest_of() == hashlib.sha256().hexdigest()


def test_files_are_hashed_one_after_the_other(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_bytes(b"ab")
    second.write_bytes(b"c")
    assert sha256(first, second) == ABC
    assert sha256(second, first) != ABC
    large = tmp_path / "3"
    large.write_bytes(bytes(range(256)) * 5000)
    assert sha256(large) == hashlib.sha256(large.read_bytes()).hexdigest()


def test_a_folders_revision_tells_names_and_changed_contents_apart(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "part").mkdir(parents=True)
    (folder / "part" / "a").write_bytes(b"abc")
    first = folder_revision(folder)
    assert first == digest_of(f"part/a:{ABC}\n")[:16]
    (folder / "part" / "a").write_bytes(b"abcd")
    second = folder_revision(folder)
    (folder / "part" / "a").rename(folder / "part" / "b")
    assert len({first, second, folder_revision(folder)}) == 3
