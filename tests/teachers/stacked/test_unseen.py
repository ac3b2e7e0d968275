"""Labels without training patients: what their siblings say, and who ranks them without trees."""

import lightgbm as lgb
import numpy as np
import pytest
import scipy.sparse as sp

from mint_ray.knowledge.annotations import Annotations
from mint_ray.knowledge.catalogue import Catalogue, build_catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.knowledge.match import KnowledgeMatch
from mint_ray.teachers.knowledge.names import NameMatch, name_families
from mint_ray.teachers.stacked.evidence import SeenLabels
from mint_ray.teachers.stacked.features import Candidates, Query
from mint_ray.teachers.stacked.rankers import TIE_WEIGHT, Rankers
from mint_ray.teachers.stacked.unseen import LabelFamilies, UnseenEvidence
from tests.teachers.stacked.test_stacked import PTOSIS, SEIZURE, STATURE, patients_of

NAMES = ("Able 1", "Able 2", "Able 3", "Short stature", "Other")


def catalogue() -> Catalogue:
    names = {f"OMIM:{900000 + i}": name for i, name in enumerate(NAMES)}
    return build_catalogue(Annotations({}, names, {}, {}), {}, "OMIM", "all")


@pytest.fixture
def evidence() -> UnseenEvidence:
    """Of a patient with a seizure and one with short stature; labels 0 and 1 have patients."""
    labels, ontology = catalogue(), load_ontology()
    knowledge = KnowledgeMatch.of_annotations(labels, Annotations({}, {}, {}, {}), ontology)
    trained = patients_of([[SEIZURE], [PTOSIS]], [[], []])
    empty = sp.csr_array((len(NAMES), len(ontology.ids)), dtype=np.float32)
    seen = SeenLabels(trained, np.array([0, 1]), np.array([0, 1]), empty, knowledge.table)
    asked = patients_of([[SEIZURE], [STATURE]], [[], []])
    query = Query.of_patients(asked, seen, knowledge)
    names = NameMatch(labels, ontology).score(asked)
    return UnseenEvidence(query, seen.seen, names, LabelFamilies(name_families(labels)), knowledge)


def test_the_best_sibling_is_another_label() -> None:
    families = LabelFamilies(np.array([4, 4, 9, 4, 7]))
    assert families.sizes.tolist() == [3, 3, 1, 3, 1]
    values = np.array([[0.9, 0.2, 0.5], [0.1, 0.3, 0.8]], dtype=np.float32)
    best = families.best_sibling(values, np.array([0, 1, 2]))
    # Label 3 has no value of its own; labels 2 and 4 have no siblings.
    assert best == pytest.approx(np.array([[0.2, 0.9, 0, 0.9, 0], [0.3, 0.1, 0, 0.3, 0]]))


def test_patients_of_a_sibling_speak_for_a_label_without_any(evidence: UnseenEvidence) -> None:
    found = evidence.find(np.array([2, 3, 4]), annotated=False)
    assert found.columns.tolist() == [2, 3, 4] * 2
    sibling = found.features[:, 1].reshape(2, 3)
    assert sibling[0].tolist() == pytest.approx([1.0, 0.0, 0.0], abs=1e-6)  # "Able 3" by "Able 1"
    assert sibling[1].max() < 0.5


def test_an_own_label_is_proposed_without_its_own_patients(evidence: UnseenEvidence) -> None:
    found = evidence.find(np.array([2, 3, 4]), annotated=False, answers=np.array([0, -1]))
    assert found.columns.tolist() == [0, 2, 3, 4, 2, 3, 4]
    own, other = found.features[0, 1], found.features[1, 1]
    assert own < other  # "Able 1" is described by the patient of "Able 2" alone


def test_without_trees_the_plain_score_ranks(evidence: UnseenEvidence) -> None:
    found = evidence.find(np.array([2, 3, 4]), annotated=False)
    base = evidence.base(annotated=False)
    # Trees that say the same of every label.
    even = lgb.Dataset(np.zeros((40, found.features.shape[1])), np.full(40, 3.0))
    trees = lgb.train({"objective": "regression", "verbosity": -1}, even, 1)
    plain = Rankers(seen=trees, annotated=None, named=None).score(2, found, base)
    assert found.columns[found.rows == 1][plain[found.rows == 1].argmax()] == 3  # "Short stature"
    level = Rankers(seen=trees, annotated=None, named=trees)
    beside = level.score(2, found, base)
    assert beside == pytest.approx(3.0 + TIE_WEIGHT * base[found.rows, found.columns])
    none = Candidates(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 14), np.float32))
    assert level.score(2, none, base).shape == (0,)
