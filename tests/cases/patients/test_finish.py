"""Finishing cases: modalities, faces, notes and the answer that must not be in them."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mint_ray.cases.patients.finish import Finished, finish_cases
from mint_ray.cases.patients.simulate import simulate_cases
from mint_ray.cases.schema import Case
from mint_ray.config.cases import CasesConfig, SimulationConfig
from mint_ray.knowledge.annotations import load_annotations
from mint_ray.knowledge.ontology import load_ontology

ONTOLOGY = load_ontology()
HYPERTELORISM, SEIZURE, ANOSMIA = "HP:0000316", "HP:0001250", "HP:0000458"
DISEASES = ("OMIM:154700", "OMIM:147920")


def _case(**changes: object) -> Case:
    case = Case(
        case_id="case-1",
        group_id="case-1",
        split=None,
        label_id="OMIM:1",
        label_name="Invented disease",
        seen=None,
        note="",
        terms=[HYPERTELORISM, SEIZURE],
        excluded_terms=[],
        face_terms=[],
        image=None,
        sex="female",
        age="P3Y",
        publications=[],
        source="test",
    )
    return Case(**{**case, **changes})  # type: ignore[typeddict-item]


def _finish(case: Case, *forbidden: str, modalities: str = "face_only_in_image") -> Finished:
    config = CasesConfig(modalities=modalities)  # type: ignore[arg-type]
    return finish_cases([case], {case["case_id"]: forbidden}, ONTOLOGY, config, seed=0)


def _simulated() -> list[Case]:
    config = SimulationConfig(patients_per_disease=4)
    return simulate_cases(load_annotations(), ONTOLOGY, DISEASES, config, seed=3)


def simulated_digest() -> str:
    """Content hash of some finished cases; also run in another process."""
    done = finish_cases(_simulated(), {}, ONTOLOGY, CasesConfig(), seed=5)
    return hashlib.sha256(repr(done.cases).encode()).hexdigest()


@pytest.mark.parametrize(
    ("modalities", "terms", "face_terms", "in_note", "image"),
    [
        ("face_only_in_image", [SEIZURE], [HYPERTELORISM], False, True),
        ("both", [HYPERTELORISM, SEIZURE], [HYPERTELORISM], True, True),
        ("text_only", [HYPERTELORISM, SEIZURE], [], True, False),
    ],
)
def test_modalities(
    modalities: str, terms: list[str], face_terms: list[str], in_note: bool, image: bool
) -> None:
    (case,) = _finish(_case(), modalities=modalities).cases
    assert (case["terms"], case["face_terms"]) == (terms, face_terms)
    assert ("hypertelorism" in case["note"]) is in_note
    assert "seizures" in case["note"]
    assert (case["image"] is not None) is image


def test_face_shows_the_findings_kept_from_the_note() -> None:
    (with_finding,) = _finish(_case()).cases
    (plain,) = _finish(_case(terms=[SEIZURE])).cases
    assert plain["image"]
    assert plain["image"] != with_finding["image"]
    assert plain["note"] == with_finding["note"]


def test_given_photograph_and_note_are_kept() -> None:
    (case,) = _finish(_case(image=b"photograph", note="Seizures since birth.")).cases
    assert case["image"] == b"photograph"
    assert case["note"] == "Seizures since birth."
    assert case["face_terms"] == [HYPERTELORISM]


def test_input_is_not_changed_and_finishing_twice_changes_nothing() -> None:
    case = _case()
    once = _finish(case)
    assert case == _case()
    assert _finish(once.cases[0]).cases == once.cases


def test_result_does_not_depend_on_the_batch() -> None:
    cases = _simulated()
    whole = finish_cases(cases, {}, ONTOLOGY, CasesConfig(), seed=5).cases
    alone = [
        finish_cases([case], {}, ONTOLOGY, CasesConfig(), seed=5).cases[0]
        for case in reversed(cases)
    ]
    assert whole == alone[::-1]


def test_result_does_not_depend_on_the_process() -> None:
    script = "from tests.cases.patients.test_finish import simulated_digest as d; print(d())"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    assert run.stdout.strip() == simulated_digest()


def test_given_note_with_the_answer_is_rejected_by_id_only() -> None:
    done = _finish(_case(note="Canary: known Invented disease."), "Invented disease")
    assert done.cases == []
    assert done.rejected == [{"case_id": "case-1", "source": "test", "reason": "answer_in_note"}]
    assert done.counts["answer_in_note"] == 1


def test_finding_that_names_the_answer_stays_out_of_the_note_only() -> None:
    done = _finish(_case(terms=[ANOSMIA, SEIZURE]), "Anosmia")
    (case,) = done.cases
    assert "anosmia" not in case["note"].lower()
    assert "seizures" in case["note"]
    assert case["terms"] == [ANOSMIA, SEIZURE]
    assert done.counts["findings_naming_the_answer"] == 1


def test_name_that_arises_between_findings_is_worded_away() -> None:
    terms = [ANOSMIA, SEIZURE]
    for number in range(12):
        case = _case(case_id=f"case-{number}", terms=terms)
        (done,) = _finish(case, "Seizures and anosmia").cases
        assert "anosmia and seizures" in done["note"].lower()


def test_case_that_no_wording_saves_is_rejected() -> None:
    done = _finish(_case(), "girl")
    assert [row["reason"] for row in done.rejected] == ["answer_in_note"]


def test_unknown_terms_are_dropped_and_counted() -> None:
    done = _finish(_case(terms=[SEIZURE, "HP:9999999", SEIZURE], excluded_terms=["nonsense"]))
    assert done.cases[0]["terms"] == [SEIZURE]
    assert done.counts["unknown_terms"] == 2


def test_a_clinical_note_is_masked_and_read() -> None:
    config = CasesConfig(source="notes", path=Path("notes.csv"), modalities="text_only")
    note = "She has seizures and hypertelorism, but no anosmia. Known Invented disease."
    case = _case(note=note, terms=[], excluded_terms=[])
    done = finish_cases([case], {"case-1": ["Invented disease"]}, ONTOLOGY, config, seed=0)
    (finished,) = done.cases
    assert finished["note"] == note.replace("Invented disease", "[masked]")
    assert (finished["terms"], finished["excluded_terms"]) == ([SEIZURE, HYPERTELORISM], [ANOSMIA])
    assert (done.counts["masked_names"], done.rejected) == (1, [])
    again = finish_cases(done.cases, {"case-1": ["Invented disease"]}, ONTOLOGY, config, seed=0)
    assert again.cases == done.cases


def test_a_clinical_note_that_is_nothing_but_its_answer_is_rejected() -> None:
    config = CasesConfig(source="notes", path=Path("notes.csv"), modalities="text_only")
    case = _case(note="Invented disease.", terms=[], excluded_terms=[])
    done = finish_cases([case], {"case-1": ["Invented disease"]}, ONTOLOGY, config, seed=0)
    assert [row["reason"] for row in done.rejected] == ["answer_in_note"]


def test_given_notes_in_other_languages_are_counted() -> None:
    done = _finish(_case(note="Das Mädchen hat seit der Geburt keine Krampfanfälle."))
    assert done.counts["notes_not_in_english"] == 1
    assert not _finish(_case()).counts["notes_not_in_english"]
