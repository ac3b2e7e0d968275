"""Wording of ages and findings."""

import pytest

from mint_ray.cases.patients.note_phrases import (
    describe_person,
    finding_phrase,
    listing,
    with_article,
)


@pytest.mark.parametrize(
    ("sex", "age", "noun"),
    [
        ("female", "P11Y", "11-year-old girl"),
        ("male", "P5M", "5-month-old boy"),
        ("male", "P1Y6M", "18-month-old boy"),
        ("unknown", "P1Y6M", "18-month-old child"),
        ("female", "P0D", "newborn girl"),
        ("unknown", "PT6H", "newborn infant"),
        ("male", "P3D", "3-day-old male neonate"),
        ("female", "P6W", "6-week-old girl"),
        ("unknown", "P14Y", "14-year-old adolescent"),
        ("male", "P18Y", "18-year-old man"),
        ("unknown", "P72Y", "72-year-old patient"),
        ("female", "P0.5Y", "6-month-old girl"),
        ("female", "P0Y7M", "7-month-old girl"),
        ("male", "P2Y11M30D", "2-year-old boy"),
        ("female", None, "female patient"),
        ("unknown", None, "patient"),
        ("male", "P", "male patient"),
        ("male", "eleven", "male patient"),
        ("male", "-P3M", "male patient"),
        ("male", "P900Y", "male patient"),
    ],
)
def test_patient_in_words(sex: str, age: str | None, noun: str) -> None:
    assert describe_person(sex, age).noun == noun


@pytest.mark.parametrize(
    ("label", "phrase"),
    [
        ("Hypertelorism", "hypertelorism"),
        ("Intellectual disability, mild", "mild intellectual disability"),
        ("Abnormality of the dentition", "an abnormality of the dentition"),
        ("Abnormal heart morphology", "abnormal heart morphology"),
        ("High forehead", "a high forehead"),
        ("Absent thumb", "absent thumb"),
        ("Seizure", "seizures"),
        ("Upslanted palpebral fissure", "upslanted palpebral fissures"),
        ("Clinodactyly of the 5th finger", "clinodactyly of the 5th finger"),
        ("Babinski sign", "a Babinski sign"),
        ("Dandy-Walker malformation", "a Dandy-Walker malformation"),
        ("Beau's lines", "Beau's lines"),
        ("EEG abnormality", "an EEG abnormality"),
        ("T-wave inversion", "T-wave inversion"),
        ("EMG: myopathic abnormalities", "myopathic abnormalities on EMG"),
        ("2-3 toe syndactyly", "2-3 toe syndactyly"),
        ("Decreased circulating total IgM", "decreased circulating total IgM"),
        (
            "Aplasia/Hypoplasia of the corpus callosum",
            "aplasia or hypoplasia of the corpus callosum",
        ),
        ("Small for gestational age", "being small for gestational age"),
    ],
)
def test_finding_in_a_sentence(label: str, phrase: str) -> None:
    assert finding_phrase(label) == phrase


def test_listing() -> None:
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"], "or") == "a, b or c"
    assert listing(["high, narrow palate", "b", "c"]) == "high, narrow palate; b and c"


@pytest.mark.parametrize(
    "phrase", ["an 8-year-old boy", "an 11-month-old girl", "an 80-year-old man", "a 12-year-old"]
)
def test_article_follows_the_sound(phrase: str) -> None:
    assert with_article(phrase.split(" ", 1)[1]) == phrase
