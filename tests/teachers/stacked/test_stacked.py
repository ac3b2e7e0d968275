"""The teacher `stacked`: evidence by hand, the gate, the fit, and what it refuses."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from mint_ray.common.probabilities.gate import Gate
from mint_ray.errors import TeacherError
from mint_ray.knowledge.annotations import Annotations
from mint_ray.knowledge.catalogue import build_catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.base import load_teacher, write_manifest
from mint_ray.teachers.knowledge.ancestors import AncestorTable
from mint_ray.teachers.knowledge.match import KnowledgeMatch
from mint_ray.teachers.stacked.evidence import SeenLabels
from mint_ray.teachers.stacked.fit import STEPS, fit_cases
from mint_ray.teachers.stacked.ridge import LabelRidge
from mint_ray.teachers.stacked.teacher import StackedTeacher
from mint_ray.teachers.term_encoder import TermEncoder
from mint_ray.teachers.term_folder import vocabulary_facts
from mint_ray.teachers.term_patients import TermPatients
from tests.teachers.conftest import SETTINGS, Fitted, columns, top1

SEIZURE, FOCAL, PTOSIS, STATURE = "HP:0001250", "HP:0007359", "HP:0000508", "HP:0004322"


def patients_of(terms: list[list[str]], excluded: list[list[str]]) -> TermPatients:
    ontology = load_ontology()
    batch = {"terms": terms, "excluded_terms": excluded, "sex": ["male", *["female"] * 9]}
    batch["sex"] = batch["sex"][: len(terms)]
    return TermPatients.of_batch(batch, TermEncoder(ontology), len(ontology.ids))


def seen_labels() -> SeenLabels:
    n_terms = len(load_ontology().ids)
    patients = patients_of(
        [[SEIZURE], [STATURE], [SEIZURE, PTOSIS], [PTOSIS]], [[PTOSIS], [], [STATURE], []]
    )
    labels, groups = np.array([5, 2, 5, 7]), np.array([0, 1, 0, 2])
    table = AncestorTable.of_ontology(load_ontology())
    return SeenLabels(patients, labels, groups, sp.csr_array((9, n_terms), dtype=np.float32), table)


def test_patients_of_a_label_are_counted_and_compared() -> None:
    seen = seen_labels()
    assert seen.seen.tolist() == [2, 5, 7]
    assert seen.n_patients.tolist() == [1, 2, 1]
    assert seen.n_groups.tolist() == [1, 1, 1]
    assert seen.male.tolist() == [0.0, 0.5, 0.0]
    evidence = seen.evidence(patients_of([[SEIZURE], [STATURE]], [[STATURE], []]))
    assert evidence.nearest[0].argmax() == 1
    assert evidence.nearest[0, 1] == pytest.approx(1.0, abs=1e-6)
    assert evidence.nearest[1].argmax() == 0
    # The second patient of label 5 has no short stature either: the only excluded term asked for.
    assert evidence.excluded_nearest[0].tolist() == pytest.approx([0.0, 1.0, 0.0], abs=1e-6)
    assert evidence.excluded_agreement[0].tolist() == pytest.approx([0.0, 0.5, 0.0], abs=1e-6)
    # Label 2 has short stature: its absence speaks against the label, and against no other.
    assert evidence.excluded_match[0].argmin() == 0
    names = ("naive_bayes", "log_ratio", "resnik", "kernel", "mean", "joint", "exact", "ridge")
    for name in (*names, "exact_mean", "shown"):
        assert getattr(evidence, name)[0].argmax() == 1, name
        assert getattr(evidence, name)[1].argmax() == 0, name


def test_the_second_group_of_a_label_speaks_for_it_too() -> None:
    ontology = load_ontology()
    patients = patients_of([[SEIZURE], [SEIZURE], [PTOSIS, SEIZURE], [STATURE]], [[]] * 4)
    labels, groups = np.array([1, 1, 1, 3]), np.array([0, 0, 7, 2])
    table = AncestorTable.of_ontology(ontology)
    empty = sp.csr_array((5, len(ontology.ids)), dtype=np.float32)
    evidence = SeenLabels(patients, labels, groups, empty, table).evidence(
        patients_of([[SEIZURE]], [[]])
    )
    assert evidence.nearest[0, 0] == pytest.approx(1.0, abs=1e-6)
    # The other patient of the same group is as similar, and does not count as a second one.
    assert 0.2 < evidence.second[0, 0] < 0.95
    assert evidence.second[0, 1] == 0.0  # a single group


def test_log_ratio_is_that_of_a_plain_computation() -> None:
    ontology, seen = load_ontology(), seen_labels()
    trained = [{SEIZURE}, {STATURE}, {SEIZURE, PTOSIS}, {PTOSIS}]
    closed = [{a for t in terms for a in ontology.ancestors(t)} for terms in trained]
    background = {t: (1 + sum(t in c for c in closed)) / 6 for t in ontology.ids}
    content = {t: -np.log(value) for t, value in background.items()}
    mean = float(np.mean(list(content.values())))
    members = {2: [1], 5: [0, 2], 7: [3]}
    asked = ontology.ancestors(FOCAL)
    expected = []
    for rows in members.values():
        ratios = {
            t: np.log((sum(t in closed[row] for row in rows) + 2 * background[t]) / (len(rows) + 2))
            - np.log(background[t])
            for t in asked
        }
        expected.append(sum(content[t] / mean * ratio for t, ratio in ratios.items()))
    found = seen.evidence(patients_of([[FOCAL]], [[]])).log_ratio[0]
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_gate_learns_the_kind_and_rules_no_existing_kind_out() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 2)).astype(np.float32)
    strata = (features[:, 0] > 0).astype(np.int64)
    exists = np.array([True, True, True])
    gate = Gate.fit(features, strata, np.ones(300), exists)
    again = Gate.of_plain(gate.plain())
    chances = np.exp(again.log_probabilities(features, exists))
    assert chances.sum(axis=1) == pytest.approx(1.0)
    assert (chances[:, :2].argmax(axis=1) == strata).mean() > 0.95
    assert chances[:, 2] == pytest.approx(1 / 303)  # no patient has the third kind
    without = np.exp(gate.log_probabilities(features, np.array([True, True, False])))
    assert not without[:, 2].any()
    assert without.sum(axis=1) == pytest.approx(1.0)


def test_a_gate_without_patients_shares_equally() -> None:
    exists = np.array([True, False, True])
    none = np.zeros(0, dtype=np.int64)
    gate = Gate.fit(np.zeros((0, 4), np.float32), none, np.zeros(0), exists)
    chances = np.exp(gate.log_probabilities(np.ones((2, 4), np.float32), exists))
    assert chances.tolist() == [[0.5, 0.0, 0.5]] * 2


def without_faces(fitted: Fitted) -> list[dict[str, object]]:
    """Cases whose facial findings are among the terms, and which have no image."""
    rows = fitted.cases.to_pylist()
    return [{**r, "terms": [*r["terms"], *r["face_terms"]], "image": None} for r in rows]


def test_a_fitted_teacher_names_seen_and_unseen_diseases(
    fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ontology, unseen = load_ontology(), "OMIM:900007"
    rows = [
        row for row in without_faces(fitted) if row["split"] != "train" or row["label_id"] != unseen
    ]
    table = fitted.cases.from_pylist(rows, fitted.cases.schema)
    extra = {"OMIM:999999": "Unheard of"}
    catalogue = build_catalogue(fitted.annotations, extra, "OMIM", "all")
    knowledge = KnowledgeMatch.of_annotations(catalogue, fitted.annotations, ontology)
    reports: list[dict[str, float]] = []
    metrics = fit_cases(
        table, catalogue, ontology, knowledge, SETTINGS, 0, tmp_path, reports.append
    )
    assert [report["step"] for report in reports] == list(range(1, STEPS + 1))
    assert metrics["validation.top1"] > 0.7
    monkeypatch.delattr(LabelRidge, "fit")  # nothing is fitted again
    teacher = load_teacher(tmp_path)
    assert isinstance(teacher, StackedTeacher)
    tested = [row for row in rows if row["split"] == "test"]
    assert top1(teacher, [row for row in tested if row["label_id"] != unseen]) > 0.8
    assert top1(teacher, [row for row in tested if row["label_id"] == unseen]) > 0.3
    scores = teacher.score(columns(tested))
    assert np.isfinite(scores).all()
    assert np.exp(scores).sum(axis=1) == pytest.approx(1.0, abs=1e-4)
    alone = np.concatenate([teacher.score(columns([row])) for row in tested[:5]])
    assert alone == pytest.approx(scores[:5], abs=1e-4)
    mixed = columns([{**tested[0], "terms": []}, tested[0]])
    assert np.isnan(teacher.score(mixed)[0]).all()
    assert teacher.score(mixed)[1] == pytest.approx(scores[0], abs=1e-4)
    assert teacher.unusable_reasons(mixed) == ["no_known_term", ""]


def test_a_folder_of_an_earlier_release_is_refused(fitted: Fitted, tmp_path: Path) -> None:
    fitted.catalogue.write(tmp_path / "catalogue.parquet")
    content = {**vocabulary_facts(load_ontology()), "findings": []}
    write_manifest(tmp_path, "stacked", ["catalogue.parquet"], content)
    with pytest.raises(TeacherError, match=r"format 2, found 1.*fit it again"):
        load_teacher(tmp_path)


def test_one_group_of_each_disease_cannot_teach_a_ranking(fitted: Fitted, tmp_path: Path) -> None:
    rows = [{**row, "group_id": row["label_id"]} for row in without_faces(fitted)]
    table = fitted.cases.from_pylist(rows, fitted.cases.schema)
    catalogue = build_catalogue(fitted.annotations, {}, "OMIM", "all")
    knowledge = KnowledgeMatch.of_annotations(catalogue, fitted.annotations, load_ontology())
    with pytest.raises(TeacherError, match=r"one disease in several groups, found none among \d+"):
        fit_cases(
            table,
            catalogue,
            load_ontology(),
            knowledge,
            SETTINGS,
            0,
            tmp_path,
            lambda metrics: None,
        )


def test_labels_without_annotations_or_patients_are_a_kind_of_their_own() -> None:
    catalogue = build_catalogue(
        Annotations({}, {"OMIM:1": "A", "OMIM:2": "B"}, {}, {}), {}, "OMIM", "all"
    )
    knowledge = KnowledgeMatch.of_annotations(
        catalogue, Annotations({}, {}, {}, {}), load_ontology()
    )
    assert not knowledge.has_annotations.any()
    parts = knowledge.parts(patients_of([[SEIZURE]], [[]]))
    assert not parts.total.any()


def test_findings_of_the_face_count_like_terms(fitted: Fitted, tmp_path: Path) -> None:
    ontology, cases = load_ontology(), fitted.cases
    knowledge = KnowledgeMatch.of_annotations(fitted.catalogue, fitted.annotations, ontology)
    fit_cases(
        cases, fitted.catalogue, ontology, knowledge, SETTINGS, 0, tmp_path, lambda metrics: None
    )
    teacher = load_teacher(tmp_path)
    by_face = [row for row in fitted.rows("test") if row["label_id"] in fitted.catalogue.ids[:4]]
    blind = [{**row, "image": None} for row in by_face]
    assert top1(teacher, by_face) > top1(teacher, blind) + 0.2
    broken = columns([{**by_face[0], "image": b"no image"}, {**by_face[0], "terms": []}])
    assert teacher.unusable_reasons(broken) == ["image_unreadable", ""]
    scores = teacher.score(broken)
    assert np.isnan(scores[0]).all()
    assert np.isfinite(scores[1]).all()


def test_a_teacher_of_words_alone_is_that_of_cases_without_images(
    fitted: Fitted, tmp_path: Path
) -> None:
    ontology, cases, catalogue = load_ontology(), fitted.cases, fitted.catalogue
    knowledge = KnowledgeMatch.of_annotations(catalogue, fitted.annotations, ontology)
    images = cases.schema.get_field_index("image")
    blank = cases.set_column(images, cases.schema.field(images), pa.nulls(len(cases), pa.binary()))
    of_words = SETTINGS.model_copy(update={"faces": False})
    scores = []
    for name, table, settings in (("words", cases, of_words), ("blank", blank, SETTINGS)):
        out = tmp_path / name
        out.mkdir()
        fit_cases(table, catalogue, ontology, knowledge, settings, 0, out, lambda metrics: None)
        scores.append(load_teacher(out).score(columns(fitted.rows("test")[:9])))
    assert np.array_equal(scores[0], scores[1], equal_nan=True)  # one has no words


def test_without_validation_patients_every_kind_keeps_a_chance(
    fitted: Fitted, tmp_path: Path
) -> None:
    rows = [row for row in without_faces(fitted) if row["split"] == "train"]
    table = fitted.cases.from_pylist(rows, fitted.cases.schema)
    catalogue = build_catalogue(fitted.annotations, {"OMIM:999999": "Unheard of"}, "OMIM", "all")
    knowledge = KnowledgeMatch.of_annotations(catalogue, fitted.annotations, load_ontology())
    ontology = load_ontology()
    assert not fit_cases(
        table, catalogue, ontology, knowledge, SETTINGS, 0, tmp_path, lambda metrics: None
    )
    scores = load_teacher(tmp_path).score(columns(rows[:3]))
    assert np.exp(scores).sum(axis=1) == pytest.approx(1.0, abs=1e-4)
    assert np.exp(scores[:, catalogue.index_of("OMIM:999999")]) == pytest.approx(0.5, abs=1e-4)
