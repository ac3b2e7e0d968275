"""Laboratory reports state what the note does not, and never the answer."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from mint_ray.cases.patients.finish import Finished, finish_cases
from mint_ray.cases.patients.laboratory.findings import LABORATORY, is_laboratory
from mint_ray.cases.patients.laboratory.report import write_report
from mint_ray.cases.patients.recombine import recombine_cases
from mint_ray.cases.patients.renderings import render_cases
from mint_ray.cases.schema import Case, blank_case
from mint_ray.config.cases import CasesConfig, RecombinedRenderingConfig, RenderingConfig
from mint_ray.knowledge.annotations import Annotations, Row
from mint_ray.knowledge.catalogue import build_catalogue
from mint_ray.knowledge.notes.findings import load_reader, present_and_excluded
from mint_ray.knowledge.ontology import load_ontology

ONTOLOGY = load_ontology()
READER = load_reader(ONTOLOGY)
CONFIG = CasesConfig(modalities="laboratory_in_report")
SEIZURE, PTOSIS, SCOLIOSIS = "HP:0001250", "HP:0000508", "HP:0002650"
ANEMIA, AMMONIA, NEUTROPENIA, LACTATE = "HP:0001903", "HP:0001987", "HP:0001875", "HP:0002151"
HYPOGLYCEMIA, LOW_IGG = "HP:0001943", "HP:0004315"


def _case(**changes: object) -> Case:
    case = blank_case("case-1", "test") | {
        "label_id": "OMIM:900001",
        "label_name": "Invented disease",
        "terms": [SEIZURE, ANEMIA, PTOSIS, AMMONIA],
        "excluded_terms": [NEUTROPENIA, SCOLIOSIS],
        "image": b"photograph",
        "sex": "female",
        "age": "P3Y",
    }
    return Case(**{**case, **changes})  # type: ignore[typeddict-item]


def _finish(cases: Sequence[Case], *forbidden: str) -> Finished:
    hidden = {case["case_id"]: forbidden for case in cases}
    return finish_cases(cases, hidden, ONTOLOGY, CONFIG, seed=0)


def _read(text: str) -> tuple[list[str], list[str]]:
    return present_and_excluded(READER.read(text))


def _stated_findings(case: Case) -> set[str]:
    """Everything that the note states or denies, and everything the terms hold."""
    present, excluded = _read(case["note"])
    return {*present, *excluded, *case["terms"], *case["excluded_terms"], *case["face_terms"]}


def test_findings_of_the_laboratory_stand_in_the_report_alone() -> None:
    done = _finish([_case()])
    (case,) = done.cases
    assert (case["terms"], case["excluded_terms"]) == ([SEIZURE, PTOSIS], [SCOLIOSIS])
    assert (case["image"], case["face_terms"]) == (None, [])
    assert _read(case["note"]) == ([SEIZURE, PTOSIS], [SCOLIOSIS])
    assert _read(case["description"]) == ([ANEMIA, AMMONIA], [NEUTROPENIA])
    assert done.counts["written_reports"] == 1


def test_a_case_without_such_findings_has_no_report() -> None:
    done = _finish([_case(terms=[SEIZURE], excluded_terms=[PTOSIS])])
    assert done.cases[0]["description"] == ""
    assert "written_reports" not in done.counts


def test_a_case_of_nothing_else_has_a_note_without_findings() -> None:
    (case,) = _finish([_case(terms=[ANEMIA], excluded_terms=[NEUTROPENIA])]).cases
    assert case["terms"] == case["excluded_terms"] == []
    assert _read(case["note"]) == ([], [])
    assert case["note"].endswith("No further findings are recorded besides her laboratory report.")
    assert _read(case["description"]) == ([ANEMIA], [NEUTROPENIA])


def test_only_excluded_findings_make_a_report_too() -> None:
    (case,) = _finish([_case(terms=[SEIZURE], excluded_terms=[NEUTROPENIA])]).cases
    assert _read(case["description"]) == ([], [NEUTROPENIA])


def test_finishing_twice_changes_nothing_and_no_wording_is_drawn() -> None:
    once = _finish([_case()]).cases
    assert _finish(once).cases == once
    (other,) = _finish([_case(case_id="case-2")]).cases
    assert other["description"] == once[0]["description"]


def test_a_given_note_is_kept_with_its_findings() -> None:
    given = _case(note="Anemia was found.", terms=[ANEMIA], excluded_terms=[], description="Mine.")
    (case,) = _finish([given]).cases
    assert case["terms"] == [ANEMIA]
    assert (case["note"], case["description"]) == ("Anemia was found.", "Mine.")


def test_other_modalities_write_no_report() -> None:
    config = CasesConfig(modalities="text_only")
    (case,) = finish_cases([_case()], {}, ONTOLOGY, config, seed=0).cases
    assert case["description"] == ""
    assert ANEMIA in case["terms"]


@pytest.mark.parametrize("place", ["terms", "excluded_terms"])
def test_a_finding_that_names_the_answer_is_left_out(place: str) -> None:
    case = _case(
        **{"terms": [SEIZURE], "excluded_terms": [], place: [SEIZURE, NEUTROPENIA, ANEMIA]}
    )
    done = _finish([case], "Neutropenia")
    (finished,) = done.cases
    assert "neutropenia" not in (finished["description"] + finished["note"]).casefold()
    assert "Anemia" in finished["description"]
    assert NEUTROPENIA not in (*finished["terms"], *finished["excluded_terms"])
    assert done.counts["findings_naming_the_answer"] == 1


def test_a_name_that_arises_where_findings_meet_is_left_out() -> None:
    case = _case(terms=[ANEMIA, NEUTROPENIA, AMMONIA], excluded_terms=[HYPOGLYCEMIA])
    (finished,) = _finish([case], "anemia neutropenia").cases
    assert _read(finished["description"]) == ([ANEMIA, AMMONIA], [HYPOGLYCEMIA])


def test_made_cases_have_reports_of_their_own() -> None:
    findings = ([SEIZURE, ANEMIA, AMMONIA], [PTOSIS, LACTATE, ANEMIA], [SCOLIOSIS, HYPOGLYCEMIA])
    read = [
        _case(case_id=f"case-{i}", group_id=f"case-{i}", split="train", terms=list(terms))
        for i, terms in enumerate(findings)
    ]
    rows = [Row(t, 9, 10, float("nan"), False, None, "PMID:1") for t in (LOW_IGG, SEIZURE)]
    annotations = Annotations({"OMIM:900001": rows}, {"OMIM:900001": "Invented disease"}, {}, {})
    catalogue = build_catalogue(annotations, {}, "OMIM", "all")
    made = render_cases(read, ONTOLOGY, RenderingConfig(drop=0.1), 4, seed=0)
    made += recombine_cases(
        read,
        catalogue,
        annotations,
        ONTOLOGY,
        6,
        0.5,
        RecombinedRenderingConfig(drop=0.2, broaden=0.1),
        seed=0,
    )
    finished = _finish(made).cases
    assert {case["source"] for case in finished} == {"rendering", "recombined"}
    for before, case in zip(made, finished, strict=True):
        assert not any(is_laboratory(term, ONTOLOGY) for term in _stated_findings(case))
        wanted = [term for term in before["terms"] if is_laboratory(term, ONTOLOGY)]
        assert _read(case["description"])[0] == wanted
    assert len({case["description"] for case in finished}) > 4


@pytest.mark.parametrize("excluded", [False, True])
def test_a_reader_finds_what_was_put_into_a_report(excluded: bool) -> None:
    names = [
        "Anemia", "Decreased circulating IgG concentration", "Hyperammonemia", "Hypoglycemia",
        "Absence of lymph node germinal center", "Increased circulating lactate concentration",
        "Neutropenia", "Recurrent bacterial infections", "Thrombocytopenia",
    ]  # fmt: skip
    terms = [t for t in ONTOLOGY.ids if ONTOLOGY.name(t) in names and is_laboratory(t, ONTOLOGY)]
    assert len(terms) == len(names)
    report = write_report(*(([], terms) if excluded else (terms, [])), ONTOLOGY)
    assert _read(report) == (([], terms) if excluded else (terms, []))


def test_most_names_of_the_laboratory_are_read_back() -> None:
    terms = [term for term in ONTOLOGY.ids if is_laboratory(term, ONTOLOGY)][::16]
    read = [_read(write_report([term], [], ONTOLOGY)) == ([term], []) for term in terms]
    assert sum(read) / len(read) > 0.93


def test_the_roots_are_those_of_the_ontology() -> None:
    assert [ONTOLOGY.name(term) for term in LABORATORY] == [
        "Abnormality of metabolism/homeostasis",
        "Abnormality of blood and blood-forming tissues",
        "Abnormality of the immune system",
    ]
    assert is_laboratory(ANEMIA, ONTOLOGY)
    assert not is_laboratory(SEIZURE, ONTOLOGY)
    assert write_report([], [], ONTOLOGY) == ""


def test_notes_that_are_given_cannot_withhold_anything() -> None:
    with pytest.raises(ValidationError, match=r"expected cases\.source simulated, .* found notes"):
        CasesConfig(source="notes", path=Path("a.csv"), modalities="laboratory_in_report")
