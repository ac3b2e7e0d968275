"""Noisy notes and notes of terms."""

import re

import pytest

from mint_ray.knowledge.notes.findings import load_reader, present_and_excluded
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.reasoning.noise import NOISY_WORDS, noisy_note, systems_of, terms_note

NOTE = (
    "A 4-year-old boy was seen. He has macrocephaly and a history of seizures.\n\n"
    "Examination shows syndactyly of the toes. There is no hearing impairment."
)


def test_a_noisy_note_is_long_and_seeded() -> None:
    noisy = noisy_note(NOTE, 3)
    assert NOISY_WORDS - 100 < len(noisy.split()) <= NOISY_WORDS
    assert noisy == noisy_note(NOTE, 3)
    assert noisy != noisy_note(NOTE, 4)
    assert len(noisy_note(NOTE, 3, words=200).split()) <= 200


def test_what_the_note_says_stays_in_its_order() -> None:
    noisy = noisy_note(NOTE, 0)
    places = [noisy.index(word) for word in ("macrocephaly", "syndactyly", "hearing impairment")]
    own = [p for p in noisy.split("\n\n") if not p.startswith(("Visit", "Copied forward"))]
    assert len(own) == 2
    assert all(place >= 0 for place in places)
    assert "macrocephaly" in own[0]
    assert "syndactyly" in own[1]


def test_noise_repeats_abbreviates_and_adds_history() -> None:
    noisy = noisy_note(NOTE, 0)
    assert noisy.count("macrocephaly") > 1
    assert "Copied forward: " in noisy
    texts = [noisy_note(NOTE, seed, words=0) for seed in range(20)]
    assert any("h/o seizures" in text for text in texts)
    assert any("history of seizures" in text for text in texts)


def test_complaints_are_of_other_body_systems() -> None:
    ontology = load_ontology()
    eye, nervous = "HP:0000478", "HP:0000707"
    assert systems_of(["HP:0001250", "HP:9999999"], ontology) == {nervous}
    assert "headache" in noisy_note(NOTE, 0)
    assert "headache" not in noisy_note(NOTE, 0, {nervous})
    assert "lubricating drops" in noisy_note(NOTE, 0, {nervous})
    assert "lubricating drops" not in noisy_note(NOTE, 0, {nervous, eye})


def test_a_long_note_is_abbreviated_only() -> None:
    long = " ".join(["A patient with seizures."] * 1000)
    noisy = noisy_note(long, 0)
    assert re.sub(r"\bpt\b", "patient", noisy.replace("w/", "with")) == long
    assert noisy_note("  ", 0) == ""


def test_noise_denies_none_of_the_findings() -> None:
    reader = load_reader(load_ontology())
    present, _ = present_and_excluded(reader.read(NOTE))
    noisy, excluded = present_and_excluded(reader.read(noisy_note(NOTE, 0)))
    assert present
    assert set(present) <= set(noisy)
    assert not set(present) & set(excluded)


@pytest.mark.parametrize(
    ("present", "excluded", "text"),
    [
        (["HP:0001250", "HP:0000365"], [], "Findings: Seizure, Hearing impairment."),
        (["HP:0001250"], ["HP:0000365"], "Findings: Seizure.\nAbsent: Hearing impairment."),
        (["HP:9999999"], [], ""),
        ([], [], ""),
    ],
)
def test_terms_stand_in_the_place_of_a_note(
    present: list[str], excluded: list[str], text: str
) -> None:
    assert terms_note(present, excluded, load_ontology()) == text
