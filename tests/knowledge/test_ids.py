"""Ids of findings, diseases and publications in the spellings of the field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mint_ray.knowledge.ids import (
    find_publications,
    is_gene_id,
    is_publication,
    is_pubmed,
    read_disease_ids,
    read_term_id,
)


@pytest.mark.parametrize(
    "text",
    [
        "HP:0001250",
        "hp:0001250",
        "HP_0001250",
        "HPO:0001250",
        "HP 0001250",
        "HP0001250",
        "HP: 0001250",
        " HP:0001250\n",
        "HP:1250",
        "0001250",
        "http://purl.obolibrary.org/obo/HP_0001250",
        "https://hpo.jax.org/browse/term/HP:0001250",
        "<http://purl.obolibrary.org/obo/HP_0001250>",
        "obo:HP_0001250",
        "ＨＰ：0001250",
    ],
)
def test_ids_of_findings(text: str) -> None:
    assert read_term_id(text) == "HP:0001250"


@pytest.mark.parametrize(
    "text",
    ["", "HP:", "1250", "HP:12345678", "NOT HP:0001250", "-HP:0001250", "MP:0001250", "Seizure"],
)
def test_what_is_no_id_of_a_finding(text: str) -> None:
    assert read_term_id(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "OMIM:154700",
        "omim:154700",
        "OMIM: 154700",
        " OMIM:154700 ",
        "omim_154700",
        "OMIM 154700",
        "OMIM154700",
        "MIM:154700",
        "MIM #154700",
        "OMIM:#154700",
        "#154700",
        "154700",
        "154700.0",
        "OMIM:154700 (Marfan syndrome)",
        "Marfan syndrome (MIM 154700)",
        "OMIM:MIM:154700",
        "https://www.omim.org/entry/154700#clinicalFeatures",
        "http://identifiers.org/mim/154700",
        "https://identifiers.org/omim:154700",
        "http://purl.bioontology.org/ontology/OMIM/154700",
        "OMIM:154700; OMIM:154700",
    ],
)
def test_omim(text: str) -> None:
    assert read_disease_ids(text) == ["OMIM:154700"]
    assert not is_gene_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "ORPHA:558",
        "ORPHA:558 ()",
        "Orphanet:558",
        "Orphanet_558",
        "ORPHA 558",
        "orpha558",
        "http://www.orpha.net/ORDO/Orphanet_558",
        "https://www.orpha.net/en/disease/detail/558",
        "https://www.orpha.net/consor/cgi-bin/OC_Exp.php?lng=EN&Expert=558",
    ],
)
def test_orphanet(text: str) -> None:
    assert read_disease_ids(text) == ["ORPHA:558"]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("MONDO_0007947", ["MONDO:0007947"]),
        ("http://purl.obolibrary.org/obo/MONDO_0007947", ["MONDO:0007947"]),
        ("PS154700", ["OMIMPS:154700"]),
        ("OMIM:PS154700", ["OMIMPS:154700"]),
        ("OMIM:154700|ORPHA:558", ["OMIM:154700", "ORPHA:558"]),
        ("OMIM:154700/154705", ["OMIM:154700", "OMIM:154705"]),
        ("154705; 154700", ["OMIM:154705", "OMIM:154700"]),
        ("154700, OMIM:154705", ["OMIM:154700", "OMIM:154705"]),
        ("ORPHA:558, https://example.org/154700", ["ORPHA:558"]),
        ("mine:17", ["MINE:17"]),
        ("UMLS:C0024796", ["UMLS:C0024796"]),
    ],
)
def test_other_namespaces(text: str, ids: list[str]) -> None:
    assert read_disease_ids(text) == ids


@pytest.mark.parametrize(
    "text",
    [
        "HGNC:3603",
        "NCBIGene:7421",
        "ENSEMBL:ENSG00000166147",
        "ENSG00000166147",
        "http://identifiers.org/hgnc/3603",
        "https://www.ncbi.nlm.nih.gov/gene/2200",
        "*134797",
        "OMIM:*134797",
    ],
)
def test_genes_are_no_diseases(text: str) -> None:
    assert read_disease_ids(text) == []
    assert is_gene_id(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "Marfan syndrome", "OMIM:../x", "OMIM", "HP:0001250", "PMID:123", "not OMIM:154700"),
        *("12", "OMIM:134797.0001", "154700, mild"),
    ],
)
def test_what_is_no_disease(text: str) -> None:
    assert read_disease_ids(text) == []
    assert not is_gene_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "PMID:123",
        "PMID: 00123",
        "pmid 123",
        "PMID_123",
        "PMID123",
        "PubMed:123",
        "PubMed ID 123",
        "https://pubmed.ncbi.nlm.nih.gov/123/",
        "https://pubmed.ncbi.nlm.nih.gov/?term=123",
        "http://www.ncbi.nlm.nih.gov/pubmed/123",
        "http://identifiers.org/pubmed/123",
        "https://europepmc.org/article/MED/123",
        "Smith 2010 (PMID: 123), a title",
        "PMID_123_Family1_proband",
    ],
)
def test_pubmed(text: str) -> None:
    assert find_publications(text) == {"PMID:123"}


@pytest.mark.parametrize(
    "text",
    [
        "doi:10.1000/AbC",
        "DOI: 10.1000/abc",
        "10.1000/ABC",
        "https://doi.org/10.1000/abc",
        "http://dx.doi.org/10.1000%2FABC",
        "see https://doi.org/10.1000/abc.",
        "(doi:10.1000/abc)",
        "https://journal.example/doi/full/10.1000/abc",
        "https://journal.example/doi/10.1000/abc/full?download=1",
    ],
)
def test_doi(text: str) -> None:
    assert find_publications(text) == {"DOI:10.1000/abc"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("PMC123", {"PMC123"}),
        ("PMCID: PMC123", {"PMC123"}),
        ("https://www.ncbi.nlm.nih.gov/pmc/articles/PMC123/", {"PMC123"}),
        ("PMID: 1; doi:10.1000/x; PMC9", {"PMID:1", "DOI:10.1000/x", "PMC9"}),
        ("PMIDs: 1, 2 and 3", {"PMID:1", "PMID:2"}),
        ("PMID:1|2 & 3", {"PMID:1", "PMID:2", "PMID:3"}),
        ("doi:10.1002/(SICI)1096(19960315)62:3", {"DOI:10.1002/(sici)1096(19960315)62:3"}),
        ("123", set()),
        ("Smith et al., 2010", set()),
        ("PMID:0", set()),
        ("Rhabdoid tumor", set()),
    ],
)
def test_publications(text: str, found: set[str]) -> None:
    assert find_publications(text) == found


def test_bare_numbers_where_they_are_pubmed_ids() -> None:
    assert find_publications("0123", bare_numbers=True) == {"PMID:123"}
    assert find_publications("123.0", bare_numbers=True) == {"PMID:123"}


def test_only_the_one_spelling_is_a_publication() -> None:
    assert is_publication("PMID:1")
    assert is_publication("DOI:10.1000/x")
    assert not is_publication("pmid:1")
    assert not is_publication("Smith 2010")
    assert [is_pubmed(p) for p in ("PMID:1", "PMC1", "DOI:10.1000/x")] == [True, False, False]


@pytest.mark.timeout(100)  # each took minutes
def test_long_texts_take_time_by_their_length() -> None:
    assert read_disease_ids("orpha.net/" * 30_000) == []
    assert find_publications("ncbi.nlm.nih.gov/entrez/" * 40_000) == set()
    assert find_publications("10. doi" + "%20" * 200_000) == set()
    assert len(find_publications("doi:10.1000/x" + ")" * 600_000)) == 1


@given(st.text())
def test_no_text_is_fatal(text: str) -> None:
    is_gene_id(text)
    assert all(is_publication(found) for found in find_publications(text))
    for disease in read_disease_ids(text):
        assert read_disease_ids(disease) == [disease]
    term = read_term_id(text)
    assert term is None or read_term_id(term) == term
