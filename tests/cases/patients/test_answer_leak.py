"""Whether a text gives the answer away."""

import pytest

from mint_ray.cases.patients.answer_leak import find_answer


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        ("Known Marfan syndrome.", "Marfan syndrome"),
        ("known MARFAN  SYNDROME", "Marfan syndrome"),
        ("a case of Marfan's syndrome", "Marfan syndrome"),
        ("a case of Marfan syndrome", "Marfan's syndrome"),
        ("Silver\u2013Russell syndrome was suspected", "Silver-Russell syndrome"),
        ("Sjogren syndrome", "Sjögren syndrome"),
        ("known MFS, type 1", "MARFAN SYNDROME; MFS; Marfan disease"),
        ("a variant in FBN1 was found", "FBN1"),
        ("FBN1-related", "FBN1"),
        ("fbn1 variant", "FBN1"),
        ("CDK 10 variant", "CDK10"),
        ("CDK-10 variant", "CDK10"),
        ("C9orf72 expansion", "C9orf72"),
        ("a REST variant", "REST"),
        ("carries c.1129G>A", "c.1129G>A"),
        ("NM_000138.5:c.1129G>A", "NM_000138.5:c.1129G>A"),
        ("p.(Arg377Cys) was found", "p.Arg377Cys"),
        ("see PMID 31675180", "PMID:31675180"),
        ("see 31675180", "PMID:31675180"),
        ("see OMIM #154700", "OMIM:154700"),
    ],
)
def test_answer_is_found(text: str, forbidden: str) -> None:
    assert find_answer(text, ["Something else", forbidden]) == forbidden


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        ("at rest, the cat was set aside", "REST"),
        ("Non-Marfan syndromes", "Marfan syndrome"),
        ("FBN12", "FBN1"),
        ("tetralogy", "tetra"),
        ("aged 1234 days", "PMID:1234"),
        ("anything", ""),
        ("anything", " ; "),
        ("a b c", "B"),
    ],
)
def test_innocent_text_passes(text: str, forbidden: str) -> None:
    assert find_answer(text, [forbidden]) is None


def test_a_doi_is_found_with_and_without_its_prefix() -> None:
    for text in ("See doi:10.1000/ABC.12.", "https://doi.org/10.1000/abc.12", "10.1000/abc.12"):
        assert find_answer(text, ["DOI:10.1000/abc.12"]) == "DOI:10.1000/abc.12"
    assert find_answer("A dose of 10.1000 units", ["DOI:10.1000/abc.12"]) is None
    assert find_answer("as in PMC 123456", ["PMC123456"]) == "PMC123456"
