"""Answers that a note misspells, shortens to an eponym, or writes in another language."""

import pytest

from mint_ray.cases.patients.clinical_notes.masking import mask_answer
from mint_ray.cases.patients.clinical_notes.misspelt import is_slip_of
from mint_ray.knowledge.notes.findings import load_reader
from mint_ray.knowledge.ontology import load_ontology


def masked(note: str, *forbidden: str) -> str:
    return mask_answer(note, forbidden, load_reader(load_ontology()).names_finding).text


@pytest.mark.parametrize(
    ("note", "forbidden", "expected"),
    [
        ("Marfan sydnrome and Marphan syndrome", "Marfan syndrome", "[masked] and [masked]"),
        ("a Noonan syndome", "Noonan syndrome 1", "a [masked]"),
        ("Sjoegren-Larsson syndrome", "Sjögren-Larsson syndrome", "[masked]"),
        ("a tumour predisposition", "Tumor predisposition", "a [masked]"),
        ("with achondropllasia", "Achondroplasia", "with [masked]"),
        # Other words, and findings.
        ("hypokalemic periodic paralysis", "Hyperkalemic periodic paralysis", None),
        ("urinary porphyrin", "Porphyria", None),
        ("hypochondroplasia", "Achondroplasia", None),
        ("no seizures, Seizure", "Seizures syndrome", None),
    ],
)
def test_slips(note: str, forbidden: str, expected: str | None) -> None:
    assert masked(note, forbidden) == (expected or note)


@pytest.mark.parametrize(
    ("note", "forbidden", "expected"),
    [
        ("Marfan was suspected.", "Marfan syndrome", "[masked] was suspected."),
        ("the Marfan-Syndrom", "Marfan syndrome", "the [masked]"),
        ("Marfansyndrom", "Marfan syndrome", "[masked]"),
        ("syndrome de Marfan", "Marfan syndrome", "syndrome de [masked]"),
        ("Charcot Marie Tooth", "Charcot-Marie-Tooth disease, type 1A", "[masked]"),
        ("Huntington's chorea", "Huntington disease", "[masked] chorea"),
        ("a marfanoid habitus", "Marfan syndrome", None),
        ("Skeletal survey. the skeletal survey", "Skeletal disease", None),
        ("Crystal clear", "Crystal disorder", None),
        ("a crystal disorder of crystal", "Crystal disorder", "a [masked] of crystal"),
        ("HYPOTONIA, CYSTINURIA", "Hypotonia-cystinuria syndrome", None),
    ],
)
def test_eponyms(note: str, forbidden: str, expected: str | None) -> None:
    assert masked(note, forbidden) == (expected or note)


@pytest.mark.parametrize(
    ("note", "forbidden", "expected"),
    [
        ("FBN1c.12A>G, FBN1gene", "FBN1", "[masked]c.12A>G, [masked]gene"),
        ("FBN1p.Arg4", "FBN1", "[masked]p.Arg4"),
        ("FBN1x", "FBN1", "FBN1x"),
        ("Orphanet:558, ORPHAcode 558", "ORPHA:558", "[masked], [masked]"),
        ("Mar\u00adfan syn\u200bdrome", "Marfan syndrome", "[masked]"),
    ],
)
def test_symbols_ids_and_unseen_characters(note: str, forbidden: str, expected: str) -> None:
    assert masked(note, forbidden) == expected


def test_masking_twice_changes_nothing() -> None:
    once = masked("Marfan sydnrome, Marfan", "Marfan syndrome")
    assert once == masked(once, "Marfan syndrome") == "[masked], [masked]"


@pytest.mark.parametrize("word", ["syndrom", "syyndrome", "syndrame", "sydnrome", "sindrome"])
def test_one_slip(word: str) -> None:
    assert is_slip_of(word, "syndrome")
    assert not is_slip_of(word[::-1], "syndrome")
