import math

import pytest

from mint_ray.errors import DataError
from mint_ray.knowledge.annotation_files import (
    load_course_table,
    load_disease_table,
    load_gene_table,
    load_row_table,
    parse_frequency,
)
from mint_ray.knowledge.annotations import load_courses
from mint_ray.knowledge.release import Release

HEADER = "#version: x\n" + "\t".join(f"column{i}" for i in range(12)) + "\n"


def line(disease="OMIM:1", name="N", no="", term="HP:0001250", ref="PMID:1", freq="", **other):
    sex, aspect = other.get("sex", ""), other.get("aspect", "P")
    date = f"X:y[{other.get('date', '2001-01-01')}]"
    fields = [disease, name, no, term, ref, "PCS", "", freq, sex, "", aspect, date]
    return "\t".join(fields) + "\n"


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """Writes the annotation file that takes the place of the packaged one."""
    monkeypatch.setenv("MINT_CACHE", str(tmp_path / "cache"))
    original = Release.file
    files = {name: tmp_path / name for name in ("phenotype.hpoa", "genes_to_phenotype.txt")}
    monkeypatch.setattr(Release, "file", lambda self, name: files.get(name) or original(self, name))
    files["genes_to_phenotype.txt"].write_text(
        "h\th\th\th\th\th\n1\tGENB\tHP:1\tx\t-\tOMIM:1\n2\tGENA\tHP:1\tx\t-\tOMIM:1\n"
    )
    return files["phenotype.hpoa"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7/8", (7, 8, None)),
        ("0/3", (0, 3, None)),
        ("9/8", (0, 0, None)),
        ("0/0", (0, 0, None)),
        ("12.5%", (0, 0, 0.125)),
        ("120%", (0, 0, None)),
        ("HP:0040280", (0, 0, 1.0)),
        ("HP:0040285", (0, 0, 0.0)),
        ("", (0, 0, None)),
        ("often", (0, 0, None)),
    ],
)
def test_frequencies(text, expected):
    present, counted, stated = parse_frequency(text)
    assert (present, counted, None if math.isnan(stated) else stated) == expected


def test_rows_are_phenotypes_with_current_ids(packaged):
    packaged.write_text(
        HEADER
        + line(disease="OMIM:2", freq="1/2", sex="MALE", ref="PMID:1; OMIM:2")
        + line(term="HP:0000057", no="NOT")  # replaced by HP:0008665
        + line(term="HP:0000007", aspect="I")
        + line(term="HP:0000007")  # an inheritance term under the wrong aspect
        + line(term="HP:9999999")
    )
    first, second = load_row_table().to_pylist()
    assert (first["disease"], first["term"], first["negated"]) == ("OMIM:1", "HP:0008665", True)
    assert (second["present"], second["counted"], second["sex"]) == (1, 2, "male")
    assert second["references"] == "PMID:1;OMIM:2"


def test_the_name_curated_last_is_the_name(packaged):
    packaged.write_text(
        HEADER
        + line(name="Z old", date="2001-01-01")
        + line(name="New", date="2020-01-01")
        + line(name="Z old", date="2002-01-01")
    )
    assert load_disease_table().to_pylist() == [
        {"id": "OMIM:1", "name": "New", "other_names": ["Z old"], "genes": ["GENA", "GENB"]}
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (HEADER + line()[:40], "line 3"),
        (HEADER + line().rstrip("\n"), "line 3"),
        (HEADER + line() + "\n", "line 4"),
        ("", "found none"),
    ],
)
def test_a_damaged_file_is_refused(packaged, text, found):
    packaged.write_text(text)
    with pytest.raises(DataError, match=found):
        load_row_table()


def test_courses_are_inheritance_and_course_without_negated_lines(packaged):
    packaged.write_text(
        HEADER
        + line(term="HP:0003577", aspect="C", ref="PMID:1;PMID:2")
        + line(term="HP:0000007", aspect="I")
        + line(term="HP:0000006", aspect="I", no="NOT")
        + line(term="HP:0001250")
        + line(term="HP:9999999", aspect="I")
    )
    rows = load_course_table().to_pylist()
    assert [(row["term"], row["references"]) for row in rows] == [
        ("HP:0000007", "PMID:1"),
        ("HP:0003577", "PMID:1;PMID:2"),
    ]


def test_courses_that_rest_on_excluded_publications_are_left_out(packaged):
    packaged.write_text(
        HEADER
        + line(term="HP:0003577", aspect="C", ref="PMID:1;PMID:2")
        + line(term="HP:0000007", aspect="I", ref="PMID:1")
    )
    assert load_courses(frozenset({"PMID:1"})) == {"OMIM:1": ("HP:0003577",)}
    assert load_courses() == {"OMIM:1": ("HP:0000007", "HP:0003577")}


def test_genes_have_ncbi_ids(packaged):
    packaged.write_text(HEADER + line())
    assert load_gene_table().to_pylist() == [
        {"id": "NCBIGene:2", "symbol": "GENA"},
        {"id": "NCBIGene:1", "symbol": "GENB"},
    ]
