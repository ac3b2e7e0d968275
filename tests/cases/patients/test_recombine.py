"""Patients recombined from several training patients of a disease and its annotations."""

from collections import Counter
from typing import Any

import pytest

from mint_ray.cases.patients.recombine import recombine_cases
from mint_ray.cases.schema import RECOMBINED, Case, blank_case, origin_of
from mint_ray.cases.splits import check_no_leakage
from mint_ray.config.cases import CasesConfig, RecombinedRenderingConfig
from mint_ray.knowledge.annotations import Annotations, Row
from mint_ray.knowledge.catalogue import Catalogue, catalogue_of
from mint_ray.knowledge.ontology import load_ontology

ONTOLOGY = load_ontology()
CATALOGUE: Catalogue = catalogue_of({"OMIM:1": "One", "OMIM:2": "Two"})
NOTHING = Annotations({}, {}, {}, {})
POOL = ["HP:0001250", "HP:0000508", "HP:0004322", "HP:0001252", "HP:0001263", "HP:0001629"]
ANNOTATED = "HP:0001382"
SEIZURE, FOCAL_SEIZURE = "HP:0001250", "HP:0007359"
CRYPTORCHIDISM = "HP:0000028"


def patient(case_id: str, terms: list[str], **changes: Any) -> Case:
    facts = {"split": "train", "label_id": "OMIM:1", "terms": terms, "group_id": f"g-{case_id}"}
    made: Case = {**blank_case(case_id, "packet"), **facts, **changes}  # type: ignore[typeddict-item]
    return made


PATIENTS = [
    patient("a", POOL[:3], sex="female", age="P3Y", excluded_terms=["HP:0001627"]),
    patient("b", POOL[2:6], sex="male", age="P9Y"),
    patient("c", POOL[3:], sex="unknown"),
]


UNCHANGED = RecombinedRenderingConfig()


def recombine(
    *cases: Case,
    n: int = 20,
    share: float = 0.0,
    annotations: Annotations = NOTHING,
    rendering: RecombinedRenderingConfig = UNCHANGED,
) -> list[Case]:
    return recombine_cases(cases, CATALOGUE, annotations, ONTOLOGY, n, share, rendering, seed=0)


def test_findings_are_those_of_several_patients_and_all_else_of_one() -> None:
    made = recombine(*PATIENTS)
    assert len(made) > 10
    originals = {case["case_id"]: case for case in PATIENTS}
    known = {frozenset(case["terms"]) for case in PATIENTS}
    for case in made:
        original = originals[origin_of(case["case_id"])]
        assert case["source"] == RECOMBINED
        for name in ("group_id", "split", "label_id", "sex", "age", "publications"):
            assert case[name] == original[name]  # type: ignore[literal-required]
        assert set(case["terms"]) <= set(POOL)
        assert len(case["terms"]) in (3, 4)
    sets = [frozenset(case["terms"]) for case in made]
    assert len({*sets, *known}) == len(sets) + len(known)  # none repeats another
    check_no_leakage([*PATIENTS, *made])
    assert recombine(*PATIENTS) == made


def test_frequent_findings_are_drawn_more_often() -> None:
    rare = ONTOLOGY.children("HP:0011458")[:18]
    cases = [patient(str(i), [*POOL[:2], *rare[3 * i : 3 * i + 3]]) for i in range(6)]
    drawn = Counter(term for case in recombine(*cases, n=30) for term in case["terms"])
    assert min(drawn[term] for term in POOL[:2]) > 2 * max(drawn[term] for term in rare)


def test_drawn_findings_are_left_out_or_made_broader() -> None:
    fewer = recombine(*PATIENTS, rendering=RecombinedRenderingConfig(drop=1.0, broaden=0.0))
    assert fewer
    assert all(len(case["terms"]) == 2 and set(case["terms"]) <= set(POOL) for case in fewer)
    broad = recombine(*PATIENTS, rendering=RecombinedRenderingConfig(drop=0.0, broaden=1.0))
    parents = {parent for term in POOL for parent in ONTOLOGY.parents(term)}
    assert broad
    assert all(set(case["terms"]) <= parents for case in broad)


def test_a_setting_of_the_changes_leaves_the_other_alone() -> None:
    config = CasesConfig.model_validate({"recombined_rendering": {"drop": 0.3}})
    assert (config.recombined_rendering.drop, config.recombined_rendering.broaden) == (0.3, 0.0)


def test_a_share_comes_from_the_annotations() -> None:
    row = Row(ANNOTATED, 0, 0, 0.9, False, None, "PMID:1")
    known = Annotations({"OMIM:1": [row]}, {"OMIM:1": "One"}, {}, {})
    never, always = (
        [ANNOTATED in case["terms"] for case in recombine(*PATIENTS, share=s, annotations=known)]
        for s in (0.0, 1.0)
    )
    assert not any(never)
    assert all(always)
    assert always


def test_made_broader_a_finding_never_stands_beside_a_broader_one() -> None:
    below = ONTOLOGY.children("HP:0011458")[:6]
    made = recombine(
        patient("a", below[:4]),
        patient("b", below[2:]),
        rendering=RecombinedRenderingConfig(drop=0.0, broaden=0.5),
    )
    assert made
    for case in made:
        above = [ONTOLOGY.ancestors(term) - {term} for term in case["terms"]]
        assert not frozenset[str]().union(*above) & set(case["terms"])


def test_a_finding_never_stands_beside_a_broader_one() -> None:
    cases = [patient("a", [SEIZURE, *POOL[1:3]]), patient("b", [FOCAL_SEIZURE, *POOL[3:5]])]
    made = recombine(*cases)
    drawn = [{SEIZURE, FOCAL_SEIZURE} & set(case["terms"]) for case in made]
    assert max(map(len, drawn)) == 1
    assert {term for found in drawn for term in found} == {SEIZURE, FOCAL_SEIZURE}


def test_findings_of_one_sex_stay_with_it() -> None:
    cases = [
        patient("boy", [CRYPTORCHIDISM, *POOL[:3]], sex="male"),
        patient("girl", POOL[2:6], sex="female"),
    ]
    sexes = Counter(case["sex"] for case in recombine(*cases) if CRYPTORCHIDISM in case["terms"])
    assert set(sexes) == {"male"}


@pytest.mark.parametrize(
    "second",
    [
        {"split": "validation"},
        {"split": "test"},
        {"label_id": "OMIM:2"},
        {"label_id": "OMIM:404"},
        {"note": "Given."},
        {"terms": []},
    ],
)
def test_two_usable_training_patients_are_needed_without_annotations(
    second: dict[str, Any],
) -> None:
    assert recombine(PATIENTS[0], {**PATIENTS[1], **second}) == []  # type: ignore[typeddict-item]
    assert recombine(PATIENTS[0], PATIENTS[1])
    assert recombine(*PATIENTS, n=0) == []


def test_a_single_patient_is_recombined_with_annotations() -> None:
    known = Annotations({"OMIM:1": [Row(ANNOTATED, 0, 0, 0.9, False, None, "PMID:1")]}, {}, {}, {})
    made = recombine(PATIENTS[0], share=0.5, annotations=known)
    assert made
    for case in made:
        assert len(case["terms"]) == len(PATIENTS[0]["terms"])
        assert set(case["terms"]) - set(POOL[:3]) == {ANNOTATED}
    assert recombine(PATIENTS[0], share=0.0, annotations=known) == []


def test_only_patients_whose_notes_are_written_are_recombined() -> None:
    with pytest.raises(ValueError, match=r"cases.recombined_per_disease=1 vary .* found notes"):
        CasesConfig.model_validate({"source": "notes", "path": "x", "recombined_per_disease": 1})
