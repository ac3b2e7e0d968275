"""The teacher `knowledge`: matches by hand, names, what it saves and what it refuses."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mint_ray.config.config import Config
from mint_ray.errors import TeacherError
from mint_ray.knowledge.annotations import Annotations, Row
from mint_ray.knowledge.catalogue import build_catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.base import load_teacher
from mint_ray.teachers.knowledge.match import RARE_WEIGHT, KnowledgeMatch
from mint_ray.teachers.knowledge.names import NameMatch, name_families
from mint_ray.teachers.knowledge.teacher import KnowledgeTeacher, Scale, save_knowledge
from mint_ray.teachers.term_encoder import TermEncoder
from mint_ray.teachers.term_patients import TermPatients
from tests.teachers.conftest import Fitted, columns, top1

SEIZURE, FOCAL, PTOSIS, STATURE = "HP:0001250", "HP:0007359", "HP:0000508", "HP:0004322"
PROFILES = {
    "OMIM:1": {SEIZURE: 1.0, PTOSIS: 0.5},
    "OMIM:2": {STATURE: 1.0},
    "OMIM:3": {FOCAL: 0.2},
    "OMIM:4": {},
}


def small_annotations() -> Annotations:
    rows = {
        label: [
            Row(term, round(10 * frequency), 10, float("nan"), False, None, "PMID:1")
            for term, frequency in profile.items()
        ]
        for label, profile in PROFILES.items()
    }
    names = {label: f"Invented {label[-1]}" for label in PROFILES}
    return Annotations(rows, names, {}, {})


def patients_of(*terms: list[str]) -> TermPatients:
    ontology = load_ontology()
    batch = {"terms": terms, "excluded_terms": [[] for _ in terms], "sex": ["" for _ in terms]}
    return TermPatients.of_batch(batch, TermEncoder(ontology), len(ontology.ids))


def small_match() -> KnowledgeMatch:
    annotations = small_annotations()
    catalogue = build_catalogue(annotations, {}, "OMIM", "all")
    return KnowledgeMatch.of_annotations(catalogue, annotations, load_ontology())


def test_the_parts_of_the_match_are_those_of_a_plain_computation() -> None:
    ontology, match = load_ontology(), small_match()
    closed = {
        label: {a: f for t, f in profile.items() for a in ontology.ancestors(t)}
        for label, profile in PROFILES.items()
    }
    content = {
        term: np.log(4 / (1 + sum(term in closure for closure in closed.values())))
        for term in ontology.ids
    }
    asked = [FOCAL, PTOSIS]
    above = {a for term in asked for a in ontology.ancestors(term)}

    def shared(term: str, terms: set[str]) -> float:
        return float(max((content[a] for a in ontology.ancestors(term) & terms), default=0.0))

    parts = match.parts(patients_of(asked))
    for column, (label, profile) in enumerate(PROFILES.items()):
        closure = closed[label]
        resnik = sum(shared(t, set(closure)) for t in asked) / sum(content[t] for t in asked)
        weight = {
            a: RARE_WEIGHT
            + (1 - RARE_WEIGHT) * max(f for t, f in profile.items() if a in ontology.ancestors(t))
            for a in closure
        }
        covered = sum(content[a] * weight[a] for a in above & set(closure))
        coverage = covered / sum(content[a] for a in above)
        own = sum(f * content[t] for t, f in profile.items())
        reverse = sum(f * shared(t, above) for t, f in profile.items()) / own if own else 0.0
        assert parts.resnik[0, column] == pytest.approx(resnik, abs=1e-5)
        assert parts.coverage[0, column] == pytest.approx(coverage, abs=1e-5)
        assert parts.reverse[0, column] == pytest.approx(reverse, abs=1e-5)
    assert match.has_annotations.tolist() == [True, True, True, False]


def test_many_patients_match_as_each_alone() -> None:
    match = small_match()
    lists = [[FOCAL], [], [PTOSIS, STATURE], [SEIZURE]]
    together = match.parts(patients_of(*lists)).total
    alone = np.concatenate([match.parts(patients_of(terms)).total for terms in lists])
    assert together == pytest.approx(alone, abs=1e-6)
    assert not together[1].any()
    assert ((together >= 0) & (together <= 3 + 1e-5)).all()


def test_names_match_by_words_and_number_themselves_into_families() -> None:
    names = {
        "OMIM:11": "Epilepsy with focal seizures",
        "OMIM:12": "Blepharoptosis, type 3",
        "OMIM:13": "Blepharoptosis, type 12",
        "OMIM:14": "Short stature, invented 2",
    }
    catalogue = build_catalogue(Annotations({}, names, {}, {}), {}, "OMIM", "all")
    score = NameMatch(catalogue, load_ontology()).score(patients_of([FOCAL], [STATURE], [PTOSIS]))
    assert score.argmax(axis=1).tolist() == [0, 3, 1]
    assert score[2, 1] == score[2, 2]  # a synonym of ptosis is blepharoptosis
    families = name_families(catalogue)
    assert families[1] == families[2]
    assert len(set(families.tolist())) == 3


def test_a_teacher_without_training_names_annotated_diseases(
    fitted: Fitted, tmp_path: Path
) -> None:
    match = KnowledgeMatch.of_annotations(fitted.catalogue, fitted.annotations, load_ontology())
    scale = Scale(annotated=0.1, named=0.1, unannotated=0.05)
    save_knowledge(tmp_path, fitted.catalogue, load_ontology(), match, scale)
    teacher = load_teacher(tmp_path)
    assert isinstance(teacher, KnowledgeTeacher)
    rows = [{**r, "terms": [*r["terms"], *r["face_terms"]]} for r in fitted.rows("test")]
    assert top1(teacher, rows) > 0.7
    scores = teacher.score(columns(rows))
    assert np.exp(scores).sum(axis=1) == pytest.approx(1.0, abs=1e-4)
    empty = columns([{**rows[0], "terms": []}, rows[0]])
    assert np.isnan(teacher.score(empty)[0]).all()
    assert teacher.unusable_reasons(empty) == ["no_known_term", ""]
    file = tmp_path / "annotations.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(TeacherError, match="damaged"):
        load_teacher(tmp_path)


def test_a_catalogue_without_annotations_is_an_error(fitted: Fitted, tmp_path: Path) -> None:
    from mint_ray.teachers.knowledge.fit import fit_knowledge

    source = tmp_path / "cases"
    source.mkdir()
    pq.write_table(fitted.cases, source / "cases.parquet")
    names = {"OMIM:999999": "Unheard of"}
    catalogue = build_catalogue(Annotations({}, names, {}, {}), names, "OMIM", "all")
    catalogue.write(source / "catalogue.parquet")
    (source / "excluded_publications.txt").write_text("")
    with pytest.raises(TeacherError, match=r"annotations of some of the 1 labels, found none"):
        fit_knowledge(source, Config(), tmp_path / "teacher", lambda metrics: None)


def test_labels_without_annotations_keep_their_share() -> None:
    scale = Scale(annotated=0.5, named=0.5, unannotated=0.2)
    match = np.array([[1.0, 0.0, 0.0]], dtype=np.float32)
    names = np.array([[0.0, 0.0, 1.0]], dtype=np.float32)
    has = np.array([True, True, False])
    chances = np.exp(scale.log_probabilities(match, names, has))
    assert chances[0, 2] == pytest.approx(0.2, abs=1e-6)
    assert chances.sum() == pytest.approx(1.0, abs=1e-6)
    everything = np.exp(scale.log_probabilities(match, names, np.ones(3, dtype=bool)))
    assert everything.sum() == pytest.approx(1.0, abs=1e-6)
