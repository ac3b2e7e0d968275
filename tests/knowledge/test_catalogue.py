import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mint_ray.errors import DataError
from mint_ray.knowledge.annotations import load_annotations
from mint_ray.knowledge.catalogue import (
    Catalogue,
    Label,
    build_catalogue,
    read_answers,
    tidy_name,
)
from mint_ray.knowledge.grounding import Grounder
from mint_ray.knowledge.names import normalise

CASE_LABELS = {
    "OMIM:900001": "Amber/Bole disease",
    "OMIM:900009": "New\ndisease",
    "ORPHA:99": "New disease",
    "MONDO:5": "Unheard of",
}


@pytest.fixture
def catalogue(annotations):
    return build_catalogue(annotations, CASE_LABELS, "OMIM", "all")


def test_labels_are_annotated_diseases_and_case_labels_of_the_namespace(catalogue):
    assert catalogue.ids == (
        "OMIM:900001",
        "OMIM:900002",
        "OMIM:900003",
        "OMIM:900004",
        "OMIM:900009",
    )
    assert len(catalogue) == 5


def test_another_namespace_with_the_same_name_is_the_same_answer(catalogue):
    first, last = catalogue.label(0), catalogue.label(4)
    assert first.ids == ("OMIM:900001", "ORPHA:91")
    assert last.ids == ("OMIM:900009", "ORPHA:99")
    assert catalogue.index_of("ORPHA:91") == 0
    assert catalogue.index_of("ORPHA:92") is None  # two labels have its name
    assert catalogue.index_of("MONDO:5") is None


def test_names_synonyms_and_genes(catalogue):
    first, second = catalogue.labels[:2]
    assert first.name == "Amber-Bole syndrome"
    assert first.synonyms == ("Amber disease", "Amber/Bole disease")
    assert first.genes == ("GENA", "GENB")
    assert (second.name, second.synonyms) == ("Copperfield’s dysplasia", ("CFD",))
    assert catalogue.names[4] == "New disease"


def test_equal_names_are_told_apart_by_id(catalogue):
    assert catalogue.names[2] == "Twin disorder (OMIM:900003)"
    assert catalogue.names[3] == "Twin Disorder (OMIM:900004)"
    grounder = Grounder(catalogue)
    assert grounder.ground("twin disorder") is None
    assert grounder.ground(catalogue.names[3]) == "OMIM:900004"


def test_scope_cases_takes_no_other_disease(annotations):
    small = build_catalogue(annotations, CASE_LABELS, "OMIM", "cases")
    assert small.ids == ("OMIM:900001", "OMIM:900009")
    assert small.label(0).ids == ("OMIM:900001", "ORPHA:91")


def test_an_unknown_namespace_lists_the_known_ones(annotations):
    with pytest.raises(DataError, match=r"omim.*'OMIM': 5.*'ORPHA'"):
        build_catalogue(annotations, CASE_LABELS, "omim", "all")


def test_a_file_gives_back_the_catalogue(catalogue, tmp_path):
    catalogue.write(tmp_path / "catalogue.parquet")
    again = Catalogue.read(tmp_path / "catalogue.parquet")
    assert again.labels == catalogue.labels
    assert again.revision() == catalogue.revision()


def test_the_revision_follows_the_content_not_the_order(catalogue):
    assert Catalogue(reversed(catalogue.labels)).revision() == catalogue.revision()
    assert Catalogue(catalogue.labels[1:]).revision() != catalogue.revision()


@pytest.mark.parametrize("content", [None, b"", b"PAR1 rubbish PAR1"])
def test_a_file_that_is_no_catalogue_is_refused(tmp_path, content):
    path = tmp_path / "catalogue.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="expected a catalogue"):
        Catalogue.read(path)


@given(st.text())
def test_a_tidy_name_can_be_read_back_from_a_list_line(text):
    name = tidy_name(text)
    line = re.fullmatch(r"1\. '([^']*)'", f"1. '{name}'")
    assert line is not None
    assert line[1] == name
    assert len(f"1. '{name}'".splitlines()) == 1
    assert tidy_name(name) == name


def test_packaged_catalogue_has_unique_names_that_ground_to_themselves():
    catalogue = build_catalogue(load_annotations(), {}, "OMIM", "all")
    assert len(catalogue) == 8359
    assert len({normalise(name) for name in catalogue.names}) == len(catalogue)
    grounder = Grounder(catalogue)
    assert all(grounder.ground(label.name) == label.label_id for label in catalogue.labels)
    assert sum(len(label.ids) > 1 for label in catalogue.labels) > 500


def test_a_label_without_a_usable_name_is_called_by_its_id(annotations):
    made = build_catalogue(annotations, {"OMIM:900010": " \n"}, "OMIM", "cases")
    assert made.labels == (Label("OMIM:900010", "OMIM:900010", ("OMIM:900010",), (), ()),)


def test_own_answers_are_a_catalogue(tmp_path: Path) -> None:
    table = tmp_path / "answers.csv"
    table.write_text("id,name,synonyms\nF2,Loose bolt,\nF1,Worn  chain,long chain|worn chain\n")
    answers = read_answers(table)
    assert answers.ids == ("F1", "F2")
    assert answers.label(0) == Label("F1", "Worn chain", ("F1",), ("long chain",), ())


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ("F1,\n", "row 1: .*name=''"),
        (",Worn chain\n", "row 1: .*id=''"),
        ("F1,Worn chain\nF1,Loose bolt\n", "row 2: .*id='F1'"),
        ("", "found 0 rows"),
        ("F1,Worn chain,more\nF2,Loose bolt\n", "1 other lines"),
    ],
)
def test_unusable_answers_are_refused(tmp_path: Path, rows: str, found: str) -> None:
    (tmp_path / "answers.csv").write_text("id,name\n" + rows)
    with pytest.raises(DataError, match=found):
        read_answers(tmp_path / "answers.csv")
