"""Answers masked in notes, and what stays."""

import pytest

from mint_ray.cases.patients.answer_leak import find_answer, names_of_answer
from mint_ray.cases.patients.clinical_notes.masking import mask_answer
from mint_ray.cases.schema import blank_case
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.knowledge.notes.findings import load_reader
from mint_ray.knowledge.ontology import load_ontology


def masked(note: str, *forbidden: str) -> str:
    return mask_answer(note, forbidden, load_reader(load_ontology()).names_finding).text


@pytest.mark.parametrize(
    ("note", "forbidden", "expected"),
    [
        ("Known Marfan syndrome, tall.", "Marfan syndrome", "Known [masked], tall."),
        ("MARFAN'S  SYNDROME", "Marfan syndrome", "[masked]"),
        ("a Sjogren-like Sjögren\nsyndrome", "Sjögren syndrome", "a [masked]-like [masked]"),
        ("He has Noonan syndrome.", "Noonan syndrome 2", "He has [masked]."),
        ("He has Noonan syndrome type 2.", "Noonan syndrome 2", "He has [masked]."),
        (
            "a hypomyelinating leukodystrophy with spasticity",
            "Leukodystrophy, hypomyelinating, 5",
            "a [masked] with spasticity",
        ),
        (
            "punctate palmoplantar keratoderma",
            "Keratoderma, palmoplantar, punctate type IA",
            "[masked]",
        ),
        (
            "an immunoskeletal dysplasia",
            "Immunoskeletal dysplasia with neurodevelopmental abnormalities",
            "an [masked]",
        ),
        (
            "a neurodevelopmental disorder",
            "Neurodevelopmental disorder with epilepsy and hemochromatosis",
            "a neurodevelopmental disorder",
        ),
        ("a variant in FBN1 was found", "FBN1", "a variant in [masked] was found"),
        ("CDK 10-related; cdk10", "CDK10", "[masked]-related; [masked]"),
        ("see OMIM #154700 (154700)", "OMIM:154700", "see [masked] ([masked])"),
        (
            "Amber ray syndrome (ARRS) runs in ARRS families; arrs",
            "Amber ray syndrome",
            "[masked] ([masked]) runs in [masked] families; arrs",
        ),
        (
            "an EEG typical of DEE, DEE4",
            "Developmental and epileptic encephalopathy 4",
            "an EEG typical of [masked], [masked]",
        ),
        ("MRI of the brain", "Microcephaly, retinal dystrophy, ichthyosis", "MRI of the brain"),
        (
            "was diagnosed with Amberson-Bole disease type 2 at five",
            "Quartz syndrome",
            "was diagnosed with [masked] at five",
        ),
        (
            "diagnosed with retinitis pigmentosa; retinitis pigmentosa of the left eye",
            "Retinitis pigmentosa 19",
            "diagnosed with [masked]; retinitis pigmentosa of the left eye",
        ),
    ],
)
def test_the_answer_is_masked(note: str, forbidden: str, expected: str) -> None:
    assert masked(note, forbidden) == expected
    assert masked(expected, forbidden) == expected
    assert find_answer(expected, [forbidden]) is None


@pytest.mark.parametrize(
    "note",
    [
        "She was diagnosed with scoliosis and hypothyroidism.",
        "Diagnosed with a genetic disorder.",
        "Diagnosed with attention deficit hyperactivity disorder.",
        "Marfanoid habitus; the cat was at rest.",
        "Family history of Huntington disease.",
    ],
)
def test_what_is_no_answer_stays(note: str) -> None:
    assert masked(note, "Marfan syndrome", "REST", "OMIM:154700", "") == note


def test_counts_by_kind() -> None:
    note = "FBN1: Marfan syndrome, Marfan syndrome. Genetically confirmed."
    counts = mask_answer(note, ["Marfan syndrome", "FBN1"], lambda name: False).counts
    assert counts == {
        "masked_symbols": 1,
        "masked_names": 2,
        "notes_masked": 1,
        "notes_telling_of_a_diagnosis": 1,
    }


def test_a_case_without_a_label_has_the_names_of_its_genes_diseases() -> None:
    labels = [
        Label("OMIM:1", "Amber syndrome", ("OMIM:1", "ORPHA:9"), ("Bole disease",), ("GENA",)),
        Label("OMIM:2", "Quartz syndrome", ("OMIM:2",), (), ("GENB",)),
    ]
    catalogue, case = Catalogue(labels), blank_case("c", "notes")
    expected = ("Amber syndrome", "OMIM:1", "ORPHA:9", "Bole disease", "GENA")
    assert names_of_answer(case, ["GENA"], catalogue) == expected
    assert names_of_answer({**case, "label_id": "ORPHA:9"}, [], catalogue) == expected
    assert names_of_answer({**case, "label_id": "OMIM:7"}, ["GENA"], catalogue) == ()
    assert names_of_answer(case, [], catalogue) == ()
