import gzip
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
EXPECTED = [("a/1.JSON", b"1"), ("a/readme.txt", b"x"), ("b/2.json", b"2")]


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
    monkeypatch.setattr("mint_ray.cases.patients.phenopacket_documents.MAX_MEMBER_BYTES", 10_000)
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


def test_links_to_folders_are_followed_once(tmp_path):
    folder, elsewhere = tmp_path / "packets", tmp_path / "elsewhere"
    (folder / "a").mkdir(parents=True)
    elsewhere.mkdir()
    (folder / "a" / "1.json").write_bytes(b"1")
    (elsewhere / "2.json").write_bytes(b"2")
    (folder / "b").symlink_to(elsewhere)
    (folder / "a" / "loop").symlink_to(folder)
    (folder / "gone.json").symlink_to(tmp_path / "absent")
    assert list(iter_members(folder)) == [
        ("a/1.json", b"1"),
        ("b/2.json", b"2"),
        ("gone.json", None),
    ]


def test_a_gzip_file_is_unpacked_or_unreadable(tmp_path):
    whole = gzip.compress(b"content" * 100)
    for name, content in (("1.json.gz", whole), ("2.json.gz", whole[:-20])):
        (tmp_path / name).write_bytes(content)
    assert list(iter_members(tmp_path)) == [("1.json.gz", b"content" * 100), ("2.json.gz", None)]


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("x.parquet", b"PAR1rest", "a parquet table.*cases.source=parquet"),
        ("x.csv", b"case_id,terms\na,HP:0001250\n", "a CSV table.*cases.source=parquet"),
        ("x.tsv", b"case_id\tterms\n", "a tab-separated table"),
        ("x.pdf", b"%PDF-1.7", "a PDF"),
        ("x.xlsx", b"\xd0\xcf\x11\xe0", "an Excel workbook"),
        ("x.txt", b"A remark.", "text"),
        ("x.xml", b"<?xml version='1.0'?><a/>", "XML"),
        ("x.zip", b"not an archive, but text", "text"),
        ("x", b"", "an empty file"),
        ("x.bin", b"\x00\x01\x02", "binary data"),
    ],
)
def test_a_file_of_another_kind_is_called_by_its_kind(tmp_path, name, content, found):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"found {found}") as caught:
        list(iter_members(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert "directory" not in str(caught.value)


def test_json_is_read_whatever_it_is_called(tmp_path):
    for name in ("x.txt", "x.zip", "x.phenopacket", "x"):
        (tmp_path / name).write_bytes(encode(packet()))
        (outcome,) = read_phenopackets(tmp_path / name, load_ontology())
        assert isinstance(outcome, ParsedCase)
