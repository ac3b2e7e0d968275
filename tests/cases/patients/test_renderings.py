"""Renderings of training patients: what varies, what stays, and who has none."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from mint_ray.cases.patients.finish import finish_cases
from mint_ray.cases.patients.renderings import broader_term, render_cases, vary
from mint_ray.cases.schema import RENDERING, Case, blank_case, origin_of
from mint_ray.cases.splits import check_no_leakage
from mint_ray.config.cases import CasesConfig, RenderingConfig
from mint_ray.config.config import Config
from mint_ray.knowledge.ontology import load_ontology

ONTOLOGY = load_ontology()
TERMS = ["HP:0001250", "HP:0000508", "HP:0004322", "HP:0001252", "HP:0001263", "HP:0001629"]
TOP = "HP:0000152"  # a child of "Phenotypic abnormality"


def patient(case_id: str = "a", **changes: Any) -> Case:
    facts = {"split": "train", "label_id": "OMIM:1", "terms": TERMS, "group_id": "PMID:1"}
    made: Case = {**blank_case(case_id, "phenopacket"), **facts, **changes}  # type: ignore[typeddict-item]
    return made


def render(*cases: Case, n: int = 3, **settings: float) -> list[Case]:
    return render_cases(cases, ONTOLOGY, RenderingConfig.model_validate(settings), n, seed=0)


def test_renderings_share_all_but_their_findings() -> None:
    original = patient(excluded_terms=["HP:0001627"], sex="female", publications=["PMID:1"])
    made = render(original)
    assert [case["case_id"] for case in made] == ["a#r2", "a#r3"]
    for case in made:
        assert origin_of(case["case_id"]) == "a"
        assert {**case, "case_id": "a", "source": "phenopacket", "terms": TERMS} == original
        assert case["source"] == RENDERING
        assert case["terms"] != TERMS
    assert made[0]["terms"] != made[1]["terms"]
    assert render(patient("b"), original)[2:] == made  # whatever the other cases are


def test_only_training_patients_with_findings_and_without_a_note_have_renderings() -> None:
    others = [
        patient("validation", split="validation"),
        patient("test", split="test"),
        patient("noted", note="A note of the source."),
        patient("bare", terms=[]),
    ]
    assert {origin_of(case["case_id"]) for case in render(*others, patient())} == {"a"}
    assert render(patient(), n=1) == []
    assert next(case["case_id"] for case in render(patient(), patient("a#r2"))) == "a#r3"


def test_renderings_stay_in_the_split_of_their_group() -> None:
    cases = [patient(f"c{i}", group_id=f"g{i // 2}") for i in range(8)]
    cases = [{**case, "split": "train" if i < 4 else "test"} for i, case in enumerate(cases)]
    made = render(*cases)
    check_no_leakage([*cases, *made])
    assert len(made) == 2 * 4
    assert {case["group_id"] for case in made} == {"g0", "g1"}


def test_findings_are_dropped_and_broadened_as_often_as_the_settings_say() -> None:
    config, rng = RenderingConfig(drop=0.3, broaden=0.2), np.random.default_rng(0)
    draws = [vary(TERMS, ONTOLOGY, config, rng) for _ in range(2000)]
    kept = sum(len(draw) for draw in draws)
    same = sum(term in TERMS for draw in draws for term in draw)
    assert kept / (2000 * len(TERMS)) == pytest.approx(0.7, abs=0.02)
    assert same / kept == pytest.approx(0.8, abs=0.03)
    firsts = Counter(draw[0] for draw in draws)
    assert min(firsts[term] for term in TERMS) > 200  # any order


@pytest.mark.parametrize("terms", [TERMS[:1], TERMS[:2], TERMS])
def test_two_findings_stay_where_there_are_two(terms: list[str]) -> None:
    rng = np.random.default_rng(0)
    for broaden in (0.0, 1.0):
        config = RenderingConfig(drop=1.0, broaden=broaden)
        assert len(vary(terms, ONTOLOGY, config, rng)) == min(2, len(terms))


def test_two_findings_never_become_one() -> None:
    siblings = list(ONTOLOGY.children("HP:0000508"))[:2]
    config, rng = RenderingConfig(drop=0, broaden=1), np.random.default_rng(0)
    assert all(len(set(vary(siblings, ONTOLOGY, config, rng))) == 2 for _ in range(20))


def test_a_broader_term_is_never_the_root() -> None:
    rng = np.random.default_rng(0)
    assert broader_term(TOP, ONTOLOGY, rng) == TOP
    assert broader_term(TERMS[0], ONTOLOGY, rng) in ONTOLOGY.parents(TERMS[0])


def test_an_image_that_is_given_keeps_its_findings() -> None:
    face = {"terms": [], "face_terms": TERMS}
    [drawn] = render(patient(**face), n=2, drop=0.6)
    [given] = render(patient(**face, image=b"PNG"), n=2, drop=0.6)
    assert given["face_terms"] == TERMS
    assert set(drawn["face_terms"]) < set(TERMS)
    assert set(drawn["face_terms"]) <= set(drawn["terms"])


def test_the_note_of_a_rendering_is_another_one_and_hides_the_answer() -> None:
    cases = [patient(), *render(patient())]
    config = CasesConfig(modalities="text_only")
    forbidden = {case["case_id"]: ["Seizure"] for case in cases}
    notes = [case["note"] for case in finish_cases(cases, forbidden, ONTOLOGY, config, 0).cases]
    assert len(set(notes)) == 3
    assert not any("eizure" in note for note in notes)


def test_renderings_are_for_patients_whose_notes_are_written() -> None:
    with pytest.raises(ValueError, match=r"cases.renderings=2 .* found notes"):
        CasesConfig.model_validate({"source": "notes", "path": "x", "renderings": 2})
    tissue = {"task": "tissue", "cases": {"source": "parquet", "path": "x", "renderings": 2}}
    with pytest.raises(ValueError, match=r"cases.renderings=2 and .*: expected task=disease"):
        Config.model_validate(tissue)
