import zipfile

import pytest

from mint_ray.cases.patients import phenopacket_files
from mint_ray.cases.patients.phenopacket_files import iter_members
from mint_ray.cases.patients.phenopackets import read_phenopackets
from mint_ray.cases.schema import ParsedCase
from mint_ray.errors import DataError
from mint_ray.knowledge.ontology import load_ontology
from tests.cases.patients.phenopacket_examples import encode, packet

MEMBERS = {"b/2.json": b"2", "a/1.JSON": b"1", "a/readme.txt": b"x", "__MACOSX/a/._1.json": b"x"}
EXPECTED = [("a/1.JSON", b"1"), ("b/2.json", b"2")]


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "store.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in MEMBERS.items():
            file.writestr(name, content)
    return path


def test_an_archive(archive):
    assert list(iter_members(archive)) == EXPECTED


def test_a_folder(tmp_path):
    for name, content in MEMBERS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.json").mkdir()
    assert list(iter_members(tmp_path)) == EXPECTED


def test_one_file(tmp_path):
    (tmp_path / "x.json").write_bytes(b"1")
    assert list(iter_members(tmp_path / "x.json")) == [("x.json", b"1")]


@pytest.mark.parametrize("keep", [0, 10, 100, -1])
def test_an_archive_cut_short_says_what_to_do(archive, keep):
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"expected a ZIP.*found \d+ bytes.*again"):
        list(iter_members(archive))


def test_an_archive_of_an_unknown_version_is_refused(archive):
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 200  # version needed to extract
    archive.write_bytes(content)
    with pytest.raises(DataError, match="without a usable ZIP directory"):
        list(iter_members(archive))


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="found nothing there"):
        list(iter_members(tmp_path / "absent.zip"))
    with pytest.raises(DataError, match="found none"):
        list(iter_members(tmp_path))


def test_a_bad_member_is_one_rejection(tmp_path, monkeypatch):
    monkeypatch.setattr(phenopacket_files, "MAX_MEMBER_BYTES", 10_000)
    monkeypatch.setattr("mint_ray.cases.patients.phenopackets.MAX_MEMBER_BYTES", 10_000)
    path = tmp_path / "store.zip"
    marker = b"MARKER" * 20
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../../1.json", encode(packet()))
        file.writestr("2.json", marker)
        file.writestr("3.json", b" " * 1_000_000, compress_type=zipfile.ZIP_DEFLATED)
        file.writestr("4.json", encode(packet()))
        file.writestr("5.json", encode(packet(id="case-5")))
    path.write_bytes(path.read_bytes().replace(marker, marker.lower()))  # checksum is wrong now
    outcomes = list(read_phenopackets(path, load_ontology()))
    assert [o.case["case_id"] if isinstance(o, ParsedCase) else o.reason for o in outcomes] == [
        "case-1",
        "unreadable",
        "too_large",
        "duplicate_id",
        "case-5",
    ]
    assert not (tmp_path.parents[1] / "1.json").exists()
