"""What answered lines mean, and what they must not be taken for."""

import pytest

from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.reasoning.grounding import DiseaseNames, GeneNames
from mint_ray.retrieval.genes import gene_catalogue


def label(number: int, name: str, *synonyms: str) -> Label:
    return Label(f"OMIM:{number}", name, (f"OMIM:{number}", f"ORPHA:{number % 1000}"), synonyms, ())


@pytest.fixture(scope="module")
def diseases() -> DiseaseNames:
    """Diseases that differ in one letter or number."""
    return DiseaseNames(
        Catalogue(
            [
                label(118220, "Charcot-Marie-Tooth disease, demyelinating, type 1A", "CMT1A"),
                label(118200, "Charcot-Marie-Tooth disease, demyelinating, type 1B", "CMT1B"),
                label(604326, "Spinocerebellar ataxia 12", "SCA12"),
                label(607454, "Spinocerebellar ataxia 21"),
                label(312750, "Rett syndrome", "RTT"),
                label(276900, "Usher syndrome, type I", "Usher syndrome type 1"),
                label(276901, "Usher syndrome type II"),
                label(154700, "Marfan syndrome", "MFS", "Marfan's syndrome, classic"),
                label(300001, "Intellectual developmental disorder, X-linked 12"),
            ]
        )
    )


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("Marfan syndrome", "OMIM:154700"),
        ("marfan SYNDROME.", "OMIM:154700"),
        ("Marfan syndrome (MFS)", "OMIM:154700"),
        ("Marfan syndrome (MFS) - tall stature", "OMIM:154700"),
        ("Marfan syndrome: tall stature", "OMIM:154700"),
        ("The classic Marfan's syndrome", "OMIM:154700"),
        ("something unknown (OMIM:154700)", "OMIM:154700"),
        ("ORPHA:700", "OMIM:154700"),
        ("Spinocerebellar ataxia type 12", "OMIM:604326"),
        ("Ataxia, spinocerebellar, 12", "OMIM:604326"),
        ("Usher syndrome type 1", "OMIM:276900"),
        ("Usher syndrome type 2", "OMIM:276901"),
        ("Demyelinating Charcot-Marie-Tooth disease type 1A", "OMIM:118220"),
        ("X-linked intellectual developmental disorder 12", "OMIM:300001"),
    ],
)
def test_a_line_means_a_disease(diseases: DiseaseNames, line: str, meant: str) -> None:
    assert diseases.find(line) == meant


@pytest.mark.parametrize(
    "line",
    [
        "Charcot-Marie-Tooth disease, demyelinating, type 1C",
        "Charcot-Marie-Tooth disease, demyelinating, type 1",
        "Charcot-Marie-Tooth disease, demyelinating",
        "Spinocerebellar ataxia 1",
        "Spinocerebellar ataxia 22",
        "Usher syndrome",
        "Usher syndrome type III",
        "Ret syndrome",
        "Marfan syndrom",
        "MFS",  # an abbreviation behind the semicolon of a title
        "CMT1A",
        "",
        "syndrome",
    ],
)
def test_a_similar_line_means_nothing(diseases: DiseaseNames, line: str) -> None:
    assert diseases.find(line) is None


def test_names_that_the_released_code_took_for_one_another_are_told_apart(
    diseases: DiseaseNames,
) -> None:
    pairs = [
        ("Charcot-Marie-Tooth disease, demyelinating, type 1A", "OMIM:118200"),
        ("Spinocerebellar ataxia 12", "OMIM:607454"),
        ("Spinocerebellar ataxia 21", "OMIM:604326"),
        ("Usher syndrome type 1", "OMIM:312750"),
        ("Rett syndrome", "OMIM:276900"),
    ]
    for line, other in pairs:
        assert diseases.find(line) not in (None, other)


def test_a_name_of_two_diseases_means_none() -> None:
    names = DiseaseNames(Catalogue([label(1, "A one", "Twin"), label(2, "B two", "Twin")]))
    assert names.find("Twin") is None
    assert names.find("A one") == "OMIM:1"


@pytest.mark.parametrize(
    ("line", "symbol"),
    [
        ("CDK10", "CDK10"),
        ("CDK 10", "CDK10"),
        ("C10orf2", "TWNK"),
        ("SPG20", "SPART"),
        ("VARS", "VARS1"),
        ("FBN1 (fibrillin 1)", "FBN1"),
        ("Fibrillin 1 (FBN1)", "FBN1"),
        ("FBN1 gene", "FBN1"),
        ("FBN1: tall stature", "FBN1"),
        ("FBN1 - tall stature", "FBN1"),
        ("FBN3X", None),
        ("Marfan syndrome", None),
        ("gene", None),
    ],
)
def test_a_line_means_a_gene(line: str, symbol: str | None) -> None:
    genes = gene_catalogue()
    found = GeneNames(genes).find(line)
    index = genes.index_of(found or "")
    assert (None if index is None else genes.names[index]) == symbol
