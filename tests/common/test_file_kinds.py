"""Kinds of files, by content."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from mint_ray.common.file_kinds import kind_of_content, kind_of_file, words_for


def archive(name: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr(name, "x")
    return made.getvalue()


def tar() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as file:
        file.addfile(tarfile.TarInfo("a.json"))
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        (b'  {"id": 1}', "", "json"),
        (b"\xef\xbb\xbf[1]", "", "json"),
        ('{"id": 1}'.encode("utf-16"), "", "json"),
        (b"id: a\nb: c\n", "", "yaml"),
        (b"---\nid: a\n", "", "yaml"),
        (b"- id: a\n", "x.yml", "yaml"),
        (b"case_id,terms\na,b\n", "", "csv"),
        (b"case_id;terms\na;b\n", "", "csv"),
        (b"case_id\tterms\n", "", "tsv"),
        (b"one column\n", "x.csv", "csv"),
        (b"A sentence, with a comma.\n", "", "text"),
        ("caf\u00e9, au lait, s'il vous pla\u00eet".encode("latin-1"), "", "text"),
        (b"<html><body>", "", "html"),
        (b"<?xml version='1.0'?>", "", "xml"),
        (b"", "", "empty"),
        (b" \n", "", "empty"),
        (b"\x00\x01", "", "binary"),
        (archive("a.json"), "", "zip"),
        (archive("xl/workbook.xml"), "", "excel"),
        (gzip.compress(b"x", mtime=0), "", "gzip"),
        (tar(), "", "tar"),
        (b"PAR1", "", "parquet"),
    ],
)
def test_kinds(content: bytes, name: str, kind: str) -> None:
    assert kind_of_content(content, name) == kind
    assert words_for(kind_of_content(content, name))


def test_a_character_that_the_head_cuts_is_text() -> None:
    assert kind_of_content("Ein ausführlicher Befund ü".encode()[:-1]) == "text"


def test_paths(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"PAR1")
    kinds = [kind_of_file(tmp_path / name) for name in ("", "x", "absent")]
    assert kinds == ["folder", "parquet", "absent"]
