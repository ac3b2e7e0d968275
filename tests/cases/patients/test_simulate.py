"""Simulated patients follow the annotations and the configured rates."""

import logging
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from mint_ray.cases.patients.record_counts import RecordCounts
from mint_ray.cases.patients.simulate import (
    MAX_EXCLUDED,
    PatientSimulator,
    rank_diseases,
    simulate_cases,
    simulate_training_cases,
)
from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.cases.splits import check_no_leakage
from mint_ray.config.cases import CasesConfig, SimulationConfig
from mint_ray.knowledge.annotations import Annotation, Annotations, Row, load_annotations
from mint_ray.knowledge.catalogue import build_catalogue
from mint_ray.knowledge.ontology import load_ontology

ONTOLOGY = load_ontology()
ANNOTATIONS = load_annotations()
SEIZURE, PTOSIS, SCOLIOSIS, ANEMIA = "HP:0001250", "HP:0000508", "HP:0002650", "HP:0001903"
EXACT = SimulationConfig(imprecision=0, missing=0, noise_terms=0)


def _annotation(term: str, frequency: float, sex: str | None = None) -> Annotation:
    return Annotation(term, frequency, frequency == 0, sex, ())


def _draw(
    annotations: list[Annotation], config: SimulationConfig, count: int = 2000, sex: str = "unknown"
) -> list[tuple[list[str], list[str]]]:
    simulator = PatientSimulator([annotations, [_annotation(ANEMIA, 1.0)]], ONTOLOGY, config)
    rng = np.random.default_rng(0)
    return [simulator.draw(0, rng, sex) for _ in range(count)]


def _share(patients: list[tuple[list[str], list[str]]], term: str, column: int = 0) -> float:
    return sum(term in patient[column] for patient in patients) / len(patients)


def test_terms_occur_as_often_as_annotated() -> None:
    patients = _draw([_annotation(SEIZURE, 1.0), _annotation(PTOSIS, 0.3)], EXACT)
    assert _share(patients, SEIZURE) == 1
    assert _share(patients, PTOSIS) == pytest.approx(0.3, abs=0.03)
    assert _share(patients, PTOSIS, column=1) == pytest.approx(0.3 * 0.7, abs=0.03)


def test_missing_terms_are_neither_observed_nor_excluded() -> None:
    config = EXACT.model_copy(update={"missing": 0.4})
    patients = _draw([_annotation(SEIZURE, 1.0), _annotation(PTOSIS, 1.0)], config)
    # A patient left with nothing keeps one of the two: 0.6 + 0.4 * 0.4 / 2.
    assert _share(patients, PTOSIS) == pytest.approx(0.68, abs=0.03)
    assert not any(excluded for _, excluded in patients)


def test_something_of_the_disease_is_always_left() -> None:
    config = SimulationConfig(missing=1, imprecision=0, noise_terms=3)
    for observed, _ in _draw([_annotation(SEIZURE, 0.1), _annotation(PTOSIS, 0.9)], config, 300):
        assert len({SEIZURE, PTOSIS} & set(observed)) == 1


def test_imprecise_terms_are_parents_that_are_phenotypes() -> None:
    config = EXACT.model_copy(update={"imprecision": 1.0})
    seen = {t for observed, _ in _draw([_annotation(SEIZURE, 1.0)], config, 50) for t in observed}
    assert seen == {p for p in ONTOLOGY.parents(SEIZURE) if ONTOLOGY.is_phenotype(p)}
    top = "HP:0000707"  # has no parent that is a phenotype
    assert _draw([_annotation(top, 1.0)], config, 1)[0][0] == [top]


def test_unrelated_terms_come_from_other_diseases() -> None:
    config = EXACT.model_copy(update={"noise_terms": 0.5})
    patients = _draw([_annotation(SEIZURE, 1.0)], config)
    assert {t for observed, _ in patients for t in observed} == {SEIZURE, ANEMIA}
    # Half of the background is the disease's own term, which adds nothing.
    assert _share(patients, ANEMIA) == pytest.approx(1 - np.exp(-0.25), abs=0.03)


def test_excluded_terms_never_contradict_observed_ones() -> None:
    simulator = PatientSimulator([ANNOTATIONS.of("OMIM:154700")], ONTOLOGY, SimulationConfig())
    rng = np.random.default_rng(1)
    for _ in range(500):
        observed, excluded = simulator.draw(0, rng)
        implied = set().union(*(ONTOLOGY.ancestors(term) for term in observed))
        assert not implied & set(excluded)
        assert 1 <= len(observed) <= 12
        assert len(excluded) <= MAX_EXCLUDED


def test_term_annotated_as_absent_is_recorded_as_absent() -> None:
    patients = _draw([_annotation(SEIZURE, 1.0), _annotation(PTOSIS, 0.0)], EXACT, 100)
    assert patients == [([SEIZURE], [PTOSIS])] * 100


def test_terms_of_the_other_sex_do_not_occur() -> None:
    annotations = [_annotation(SEIZURE, 1.0), _annotation(SCOLIOSIS, 1.0, sex="male")]
    assert _share(_draw(annotations, EXACT, 50, "female"), SCOLIOSIS) == 0
    assert _share(_draw(annotations, EXACT, 50, "male"), SCOLIOSIS) == 1
    only_men = PatientSimulator([[_annotation(SCOLIOSIS, 1.0, sex="male")]], ONTOLOGY, EXACT)
    assert only_men.sexes(0) == ("male",)


def test_label_without_positive_annotation_is_not_usable() -> None:
    simulator = PatientSimulator([[], [_annotation(SEIZURE, 0.0)]], ONTOLOGY, EXACT)
    assert simulator.usable.tolist() == [False, False]
    with pytest.raises(ValueError, match="no phenotype annotations"):
        simulator.draw(1, np.random.default_rng(0))


def test_ranking_is_by_evidence_within_the_namespace() -> None:
    ranked = rank_diseases(ANNOTATIONS, ONTOLOGY, "OMIM")
    assert all(disease.startswith("OMIM:") for disease in ranked)
    assert len(ranked) == len(set(ranked)) > 8000
    first, last = (sum(a.frequency for a in ANNOTATIONS.of(ranked[i])) for i in (0, -1))
    assert first > 10 * last


def test_cases_are_rows_of_the_schema() -> None:
    config = SimulationConfig(patients_per_disease=5)
    diseases = ["OMIM:154700", "OMIM:147920"]
    cases = simulate_cases(ANNOTATIONS, ONTOLOGY, diseases, config, seed=0)
    table = pa.Table.from_pylist(cases, CASE_SCHEMA)
    assert Counter(table["label_id"].to_pylist()) == dict.fromkeys(diseases, 5)
    assert len(set(table["case_id"].to_pylist())) == 10
    assert table["group_id"].to_pylist() == table["case_id"].to_pylist()
    assert set(table["sex"].to_pylist()) <= {"male", "female"}


def test_cases_do_not_depend_on_the_order_of_diseases() -> None:
    config = SimulationConfig(patients_per_disease=4)
    diseases = ["OMIM:154700", "OMIM:147920", "OMIM:142900"]
    first = simulate_cases(ANNOTATIONS, ONTOLOGY, diseases, config, seed=7)
    assert first == simulate_cases(ANNOTATIONS, ONTOLOGY, diseases[::-1], config, seed=7)
    assert first != simulate_cases(ANNOTATIONS, ONTOLOGY, diseases, config, seed=8)


def test_disease_without_annotations_yields_no_patient_and_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = SimulationConfig(patients_per_disease=3)
    with caplog.at_level(logging.WARNING):
        cases = simulate_cases(
            ANNOTATIONS, ONTOLOGY, ["OMIM:0000000", "OMIM:154700"], config, seed=0
        )
    assert len(cases) == 3
    assert "1 diseases have no annotations" in caplog.text


def _published(count: int, group: str = "") -> list[dict[str, object]]:
    """Rows of long records: nine observed terms, one of them in the image, and four excluded."""
    phenotypes = [t for t in ONTOLOGY.ids if ONTOLOGY.is_phenotype(t)]
    return [
        {
            **blank_case(f"p{n}", "phenopackets"),
            "group_id": group or f"p{n}",
            "split": "train",
            "label_id": "OMIM:154700",
            "terms": phenotypes[n : n + 8],
            "face_terms": phenotypes[n + 7 : n + 9],
            "excluded_terms": phenotypes[n + 20 : n + 24],
            "sex": "unknown" if n % 4 == 0 else "male",
        }
        for n in range(count)
    ]


def test_records_are_as_long_as_published_ones() -> None:
    counts = RecordCounts.of(_published(40))
    sparse = [_annotation(SEIZURE, 1.0), _annotation(PTOSIS, 0.1)]
    rich = ANNOTATIONS.of("OMIM:154700")
    simulator = PatientSimulator([sparse, rich], ONTOLOGY, EXACT, counts)
    rng = np.random.default_rng(0)
    for label in (0, 1):
        drawn = [simulator.draw_patient(label, rng) for _ in range(200)]
        assert {(len(observed), len(excluded)) for observed, excluded, _ in drawn} == {(9, 4)}
        assert sum(sex == "unknown" for *_, sex in drawn) / 200 == pytest.approx(0.25, abs=0.1)
        for observed, excluded, _ in drawn:
            implied = set().union(*(ONTOLOGY.ancestors(term) for term in observed))
            assert not implied & set(excluded)
            assert not label or len({a.term for a in rich} & set(observed)) >= 8
    assert _share([(o, e) for o, e, _ in drawn], SEIZURE) < 0.5
    pairs = [simulator.draw_patient(0, rng)[:2] for _ in range(300)]
    assert _share(pairs, SEIZURE) == 1
    assert _share(pairs, PTOSIS) < 0.4


def test_a_large_series_does_not_rule_the_lengths() -> None:
    series = [row | {"terms": [SEIZURE], "face_terms": []} for row in _published(400, "series")]
    counts = RecordCounts.of([*_published(40), *series])
    assert counts is not None
    rng = np.random.default_rng(0)
    short = sum(counts.draw(rng).observed == 1 for _ in range(500)) / 500
    assert short == pytest.approx(20 / 60, abs=0.1)  # √400 against 40 groups of one


def test_a_few_published_or_only_simulated_patients_give_no_lengths() -> None:
    assert RecordCounts.of(_published(5)) is None
    assert RecordCounts.of([row | {"source": "simulated"} for row in _published(100)]) is None


def test_training_cases_of_every_annotated_label_beside_published_ones() -> None:
    labels = {"OMIM:154700": "Marfan syndrome", "OMIM:900001": "An invented disease"}
    known = [{**row, "seen": True} for row in _published(40)]
    hidden = {
        **known[0],
        "case_id": "t",
        "group_id": "t",
        "split": "test",
        "label_id": "OMIM:147920",
    }
    catalogue = build_catalogue(ANNOTATIONS, labels | {"OMIM:147920": "Kabuki"}, "OMIM", "cases")
    drawn = simulate_training_cases(
        catalogue, ANNOTATIONS, ONTOLOGY, SimulationConfig(), [*known, hidden], 3, seed=0
    )
    assert Counter(case["label_id"] for case in drawn) == {"OMIM:154700": 3, "OMIM:147920": 3}
    assert {(case["source"], case["split"]) for case in drawn} == {("simulated", "train")}
    assert {case["label_id"]: case["seen"] for case in drawn} == {
        "OMIM:154700": True,
        "OMIM:147920": False,
    }
    assert len({case["group_id"] for case in drawn}) == 6
    check_no_leakage([*known, hidden, *drawn])
    assert {len(case["terms"]) for case in drawn} == {9}


def test_annotations_that_were_left_out_are_not_drawn() -> None:
    row = Row(SEIZURE, 1, 1, float("nan"), False, None, "PMID:1")
    names = {"OMIM:900001": "An invented disease"}
    before = Annotations({"OMIM:900001": [row]}, names, {}, {})
    after = Annotations({}, names, {}, {})
    catalogue = build_catalogue(before, {}, "OMIM", "all")
    drawn = [
        simulate_training_cases(catalogue, left, ONTOLOGY, EXACT, [], 2, seed=0)
        for left in (before, after)
    ]
    assert [len(cases) for cases in drawn] == [2, 0]


@pytest.mark.parametrize("source", ["simulated", "tiles", "images"])
def test_only_patients_that_are_read_have_simulated_ones_beside(source: str) -> None:
    with pytest.raises(ValueError, match="simulated_per_disease"):
        CasesConfig.model_validate({"source": source, "path": "x", "simulated_per_disease": 1})
