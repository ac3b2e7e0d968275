"""Findings in invented notes."""

import random
from collections.abc import Sequence

import pytest

from mint_ray.cases.patients.notes import write_note
from mint_ray.cases.schema import blank_case
from mint_ray.config.cases import CasesConfig
from mint_ray.knowledge.annotations import load_annotations
from mint_ray.knowledge.notes.findings import FindingReader, present_and_excluded
from mint_ray.knowledge.notes.triggers import Assertion
from mint_ray.knowledge.notes.values import value_behind
from mint_ray.knowledge.ontology import Ontology, load_ontology


@pytest.fixture
def ontology() -> Ontology:
    return load_ontology()


def names(reader: FindingReader, ontology: Ontology, note: str) -> tuple[list[str], list[str]]:
    present, excluded = present_and_excluded(reader.read(note))
    return [ontology.name(t) for t in present], [ontology.name(t) for t in excluded]


@pytest.mark.parametrize(
    ("note", "present", "excluded"),
    [
        ("She has arachnodactyly and tall stature.", ["Arachnodactyly", "Tall stature"], []),
        ("SEIZURES since age 2; Hypotonia.", ["Seizure", "Hypotonia"], []),
        ("No seizures, hypotonia or nystagmus.", [], ["Seizure", "Hypotonia", "Nystagmus"]),
        ("No seizures but nystagmus was seen.", ["Nystagmus"], ["Seizure"]),
        ("Seizures were not observed. Hypotonia.", ["Hypotonia"], ["Seizure"]),
        ("The mother has scoliosis. He has myopia.", ["Myopia"], []),
        ("Family history of scoliosis. He has myopia.", ["Myopia"], []),
        ("Tall for his family, with scoliosis.", ["Scoliosis"], []),
        ("He denied seizures. Later a seizure occurred.", ["Seizure"], []),
        ("Atrial septal defect.", ["Atrial septal defect"], []),
        ("Nothing remarkable.", [], []),
        ("", [], []),
    ],
)
def test_invented_notes(
    reader: FindingReader,
    ontology: Ontology,
    note: str,
    present: list[str],
    excluded: list[str],
) -> None:
    assert names(reader, ontology, note) == (present, excluded)


def test_a_finding_knows_its_place(reader: FindingReader) -> None:
    note = "There is a cleft of the palate: cleft palate, wide.\n\nNo myopia"
    found = reader.read(note)
    assert [note[item.start : item.end] for item in found][-2:] == ["cleft palate", "myopia"]
    assert [item.excluded for item in found][-2:] == [False, True]


def test_hostile_text_costs_little(reader: FindingReader) -> None:
    for text in ("no " * 100_000, "\x00\ud800 ́" * 1000, "a" * 1_000_000, "." * 300_000):
        assert reader.read(text) == []


def test_most_findings_of_written_notes_are_read_back(
    reader: FindingReader, ontology: Ontology
) -> None:
    """Our own notes name every term by its label, in sentences."""
    annotations, rng = load_annotations(), random.Random(0)
    hits = wrong = total = 0
    diseases = sorted(annotations.diseases)
    for number in range(60):
        terms = [a.term for a in annotations.of(rng.choice(diseases)) if not a.excluded]
        if len(terms) < 4:
            continue
        rng.shuffle(terms)
        case = blank_case(f"c{number}", "simulated")
        case |= {"terms": terms[:5], "excluded_terms": terms[5:7]}
        config = CasesConfig(modalities="text_only")
        present, excluded = present_and_excluded(
            reader.read(write_note(case, ontology, config, seed=0))
        )
        total += len(case["terms"])
        hits += len(set(present) & set(case["terms"]))
        wrong += len(set(present) & set(case["excluded_terms"]))
        wrong += len(set(excluded) & set(case["terms"]))
    assert total > 100
    assert hits / total > 0.75
    assert wrong / total < 0.05


@pytest.mark.parametrize(
    ("note", "present"),
    [
        ("He has mild intellectual disability.", ["Intellectual disability, mild"]),
        ("There was an absence of speech.", ["Absent speech"]),
        ("Delays in speech and language development.", ["Delayed speech and language development"]),
        ("Hearing loss on the left.", ["Hearing impairment"]),
        ("Raised ferritin.", ["Increased circulating ferritin concentration"]),
        ("Hyperreflexia in the legs.", ["Hyperreflexia"]),
    ],
)
def test_names_in_other_words(
    reader: FindingReader, ontology: Ontology, note: str, present: list[str]
) -> None:
    assert names(reader, ontology, note) == (present, [])


def test_another_order_of_words_makes_no_finding_of_a_denial(
    reader: FindingReader, ontology: Ontology
) -> None:
    assert names(reader, ontology, "Seizures absent.") == ([], ["Seizure"])


@pytest.mark.parametrize("item", ["seizures", "seizures or", "seizures,", "no seizures"])
def test_what_stands_behind_a_list_is_read_once_for_each_finding(
    reader: FindingReader, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def counted(words: Sequence[str]) -> Assertion | None:
        read.append(len(words))
        return value_behind(words)

    monkeypatch.setattr("mint_ray.knowledge.notes.assertion.value_behind", counted)
    found = reader.read(f"No {item} " + f"{item} " * 150)
    assert len(found) > 100
    assert len(read) <= len(found)
