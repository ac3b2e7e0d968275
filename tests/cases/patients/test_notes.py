"""Notes state the findings, within limits, in varied prose."""

import re

import pytest

from mint_ray.cases.patients.note_phrases import finding_phrase
from mint_ray.cases.patients.notes import write_note
from mint_ray.cases.schema import Case
from mint_ray.config.cases import CasesConfig
from mint_ray.knowledge.ontology import load_ontology

ONTOLOGY = load_ontology()
CONFIG = CasesConfig()
MANY = [
    "HP:0001250", "HP:0001263", "HP:0001252", "HP:0004322", "HP:0000218", "HP:0000486",
    "HP:0000365", "HP:0001631", "HP:0002020", "HP:0000028", "HP:0002650", "HP:0001156",
    "HP:0001903", "HP:0002205", "HP:0000964", "HP:0000819", "HP:0001943", "HP:0001622",
]  # fmt: skip


def _case(**changes: object) -> Case:
    case = Case(
        case_id="case-1",
        group_id="case-1",
        split=None,
        label_id=None,
        label_name=None,
        seen=None,
        note="",
        terms=MANY,
        excluded_terms=[],
        face_terms=[],
        image=None,
        sex="female",
        age="P11Y",
        publications=[],
        source="test",
    )
    return Case(**{**case, **changes})  # type: ignore[typeddict-item]


def _note(config: CasesConfig = CONFIG, seed: int = 0, **changes: object) -> str:
    return write_note(_case(**changes), ONTOLOGY, config, seed)


def test_note_says_who_the_patient_is_and_every_finding() -> None:
    note = _note()
    assert "11-year-old girl" in note
    for term in MANY:
        assert finding_phrase(ONTOLOGY.name(term)) in note


def test_note_is_prose() -> None:
    for number in range(30):
        note = _note(case_id=f"case-{number}", excluded_terms=["HP:0001250", "HP:0000407"])
        assert "HP:" not in note
        assert "\n" not in note
        assert not re.search(r"[{}]|\b(?:a|an) (?:a|an) |\.\.|  |: ", note)
        assert all(s[0].isupper() for s in re.split(r"(?<=\.) ", note))
        assert note.endswith(".")


def test_notes_vary_between_cases_and_not_between_calls() -> None:
    notes = [_note(case_id=f"case-{number}") for number in range(40)]
    assert notes == [_note(case_id=f"case-{number}") for number in range(40)]
    assert len(set(notes)) == 40
    assert len({note.split(".")[0] for note in notes}) >= 4
    assert _note(seed=1) != _note(seed=0)


def test_short_list_makes_a_short_note() -> None:
    note = _note(terms=["HP:0001250", "HP:0004322"])
    assert note.count(".") == 1
    assert "seizures" in note
    assert "short stature" in note


def test_excluded_findings_are_denied_within_their_limit() -> None:
    config = CasesConfig(note_excluded_terms=2)
    note = _note(config, terms=MANY[:4], excluded_terms=MANY[4:12])
    assert sum(finding_phrase(ONTOLOGY.name(term)) in note for term in MANY[4:12]) == 2
    assert re.search(r"(?:no evidence of|did not have|no history of) ", note)


def test_lack_is_not_denied_with_another_no() -> None:
    note = _note(terms=MANY[:1], excluded_terms=["HP:0001344"])  # absent speech
    assert "not found: absent speech" in note


def test_limit_counts_observed_findings_first() -> None:
    config = CasesConfig(note_max_terms=3, note_excluded_terms=3)
    note = _note(config, excluded_terms=["HP:0000407"])
    stated = [term for term in MANY if finding_phrase(ONTOLOGY.name(term)) in note]
    assert stated == MANY[:3]
    assert "sensorineural" not in note


def test_face_only_keeps_absent_facial_findings_to_the_image() -> None:
    excluded = ["HP:0000316", "HP:0000407"]  # hypertelorism, hearing impairment
    assert "hypertelorism" not in _note(excluded_terms=excluded)
    both = CasesConfig(modalities="both")
    assert "hypertelorism" in _note(both, excluded_terms=excluded)


def test_note_without_findings_points_to_the_appearance() -> None:
    note = _note(terms=[], face_terms=["HP:0000316"])
    assert note.endswith("No further findings are recorded besides her appearance.")


@pytest.mark.parametrize("terms", [[], ["HP:9999999"]])
def test_note_without_any_known_finding(terms: list[str]) -> None:
    assert _note(terms=terms, sex="unknown", age=None).endswith("No findings are recorded.")
