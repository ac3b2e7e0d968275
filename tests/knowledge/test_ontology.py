import pytest

from mint_ray.errors import DataError
from mint_ray.knowledge.ontology import PHENOTYPE_ROOT, Ontology, load_ontology, parse_obo

OBO = r"""format-version: 1.2
data-version: hp/releases/2001-02-03

[Term]
id: HP:0000001
name: All

[Term]
id: HP:0000118
name: Phenotypic abnormality
is_a: HP:0000001 ! All

[Term]
id: HP:0000002
name: Green \"ear\"
alt_id: HP:0000092
synonym: "Ear, \"green\"" EXACT layperson []
synonym: "GE" EXACT abbreviation []
synonym: "Green ear lobe" NARROW []
is_a: HP:0000118 ! Phenotypic abnormality

[Term]
id: HP:0000003
name: Very green ear
is_a: HP:0000002 ! Green ear

[Term]
id: HP:0000004
name: obsolete Ear that is green
is_obsolete: true
replaced_by: HP:0000005

[Term]
id: HP:0000005
name: obsolete Greenish ear
is_obsolete: true
replaced_by: HP:0000092

[Term]
id: HP:0000006
name: obsolete Nothing
is_obsolete: true

[Typedef]
id: part_of
name: part of
"""


@pytest.fixture
def small(tmp_path):
    (tmp_path / "hp.obo").write_text(OBO)
    return Ontology(*parse_obo(tmp_path / "hp.obo"))


def test_terms_and_release_are_read(small):
    assert small.version == "2001-02-03"
    assert small.ids == ("HP:0000001", "HP:0000002", "HP:0000003", PHENOTYPE_ROOT)
    assert small.index["HP:0000003"] == 2
    assert small.synonyms("HP:0000002") == ('Ear, "green"',)


@pytest.mark.parametrize(
    ("given", "current"),
    [
        ("HP:0000002", "HP:0000002"),
        ("HP:0000092", "HP:0000002"),  # alternative
        ("HP:0000004", "HP:0000002"),  # replaced, replaced again, by an alternative id
        ("HP:0000006", None),  # obsolete without a replacement
        ("HP:9999999", None),
        ("", None),
    ],
)
def test_ids_resolve_to_current_ones(small, given, current):
    assert small.resolve(given) == current


def test_hierarchy(small):
    assert small.parents("HP:0000003") == ("HP:0000002",)
    assert small.children("HP:0000118") == ("HP:0000002",)
    assert small.ancestors("HP:0000003") == {
        "HP:0000003",
        "HP:0000002",
        "HP:0000118",
        "HP:0000001",
    }
    phenotypes = [term for term in small.ids if small.is_phenotype(term)]
    assert phenotypes == ["HP:0000002", "HP:0000003"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (OBO[:-5], "middle of a line"),
        (OBO.replace("id: HP:0000002", "id: HP:0000009"), "1 parents"),
        (OBO.replace("data-version", "date"), "no release date"),
        ("", "no release date"),
        (OBO.replace("id: HP:0000118", "id: HP:0000119"), "no term HP:0000118"),
    ],
)
def test_a_file_cut_short_is_refused(tmp_path, text, problem):
    (tmp_path / "hp.obo").write_text(text)
    with pytest.raises(DataError, match=problem):
        parse_obo(tmp_path / "hp.obo")


def test_packaged_ontology():
    ontology = load_ontology()
    assert ontology.version == "2025-01-16"
    assert len(ontology.ids) > 19_000
    assert ontology.name("HP:0001250") == "Seizure"
    assert ontology.is_phenotype("HP:0001250")
    assert not ontology.is_phenotype("HP:0000007")  # autosomal recessive inheritance
    assert all("HP:0000001" in ontology.ancestors(term) for term in ontology.ids)
