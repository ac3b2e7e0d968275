"""The teacher `neighbours`: similarities, probabilities, what it saves and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mint_ray.config.config import Config
from mint_ray.errors import TeacherError
from mint_ray.knowledge.catalogue import build_catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.base import load_teacher
from mint_ray.teachers.neighbours.fit import fit_neighbours
from mint_ray.teachers.neighbours.index import PatientIndex
from mint_ray.teachers.neighbours.teacher import NeighboursTeacher, Scale
from mint_ray.teachers.term_encoder import TermEncoder
from tests.teachers.conftest import Fitted, columns, top1

SEIZURE, FOCAL, PTOSIS, STATURE = "HP:0001250", "HP:0007359", "HP:0000508", "HP:0004322"
UNHEARD = "OMIM:999999"


def write_source(folder: Path, fitted: Fitted, **changes: Any) -> Path:
    """Write the output of `cases`, every observed finding in `terms`, and a disease more."""
    rows = [
        {**row, "terms": [*row["terms"], *row["face_terms"]], **changes}
        for row in fitted.cases.to_pylist()
    ]
    folder.mkdir()
    pq.write_table(fitted.cases.from_pylist(rows, fitted.cases.schema), folder / "cases.parquet")
    catalogue = build_catalogue(fitted.annotations, {UNHEARD: "Unheard of"}, "OMIM", "all")
    catalogue.write(folder / "catalogue.parquet")
    return folder


def test_a_patient_is_most_similar_to_patients_with_the_same_rare_findings() -> None:
    encoder, n_terms = TermEncoder(load_ontology()), len(load_ontology().ids)
    patients = [[SEIZURE, PTOSIS], [STATURE], [FOCAL], [STATURE, SEIZURE]]
    closures = [encoder.closure(terms) for terms in patients]
    index = PatientIndex.of_patients(closures, [4, 2, 4, 7], n_terms)
    assert index.seen.tolist() == [2, 4, 7]
    similarity = index.similarity([*closures, encoder.closure([])])
    assert similarity.shape == (5, 3)
    assert [row.argmax() for row in similarity[:4]] == [1, 0, 1, 2]
    assert similarity[:4].max(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert similarity[4].tolist() == [0.0, 0.0, 0.0]
    # A focal seizure is a seizure: label 7's only other finding has nothing of it.
    assert similarity[2, 2] > similarity[2, 0]


def test_the_cosine_is_that_of_a_plain_computation() -> None:
    encoder, n_terms = TermEncoder(load_ontology()), len(load_ontology().ids)
    patients = ([SEIZURE], [PTOSIS, SEIZURE], [STATURE], [PTOSIS, STATURE])
    bags = [encoder.closure(terms) for terms in patients]
    index = PatientIndex.of_patients(bags[:3], [0, 1, 2], n_terms)
    has = np.zeros((4, n_terms))
    for row, bag in enumerate(bags):
        has[row, bag] = 1
    content = -np.log((1 + has[:3].sum(axis=0)) / 4)
    dots = (has * content) @ has.T
    lengths = np.sqrt(np.diag(dots))
    expected = dots[3, :3] / (lengths[3] * lengths[:3])
    assert index.similarity([bags[3]])[0] == pytest.approx(expected, abs=1e-5)


def test_probabilities_sum_to_one_and_keep_a_share_for_the_others() -> None:
    is_seen = np.array([True, False, True, False, True])
    similarity = np.array([[0.9, 0.1, 0.3], [0.0, 0.0, 0.0]], dtype=np.float32)
    chances = np.exp(Scale(0.1, 0.2).log_probabilities(similarity, is_seen))
    assert chances.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert chances[:, ~is_seen] == pytest.approx(0.1)
    assert chances[0].argmax() == 0
    assert chances[1, is_seen] == pytest.approx(0.8 / 3)
    everything = np.exp(Scale(0.1, 0.2).log_probabilities(similarity, np.ones(3, dtype=bool)))
    assert everything.sum(axis=1) == pytest.approx(1.0, abs=1e-6)


def test_a_fitted_teacher_names_diseases_of_its_patients(fitted: Fitted, tmp_path: Path) -> None:
    source, out = write_source(tmp_path / "cases", fitted), tmp_path / "teacher"
    reports: list[dict[str, float]] = []
    metrics = fit_neighbours(source, Config(), out, reports.append)
    assert [report["step"] for report in reports] == [1]
    assert metrics["validation.top1"] > 0.7
    assert metrics["validation.top10"] == 1.0
    teacher = load_teacher(out)
    assert isinstance(teacher, NeighboursTeacher)
    assert teacher.revision.startswith("neighbours@")
    tested = [
        r for r in pq.read_table(source / "cases.parquet").to_pylist() if r["split"] == "test"
    ]
    assert top1(teacher, tested) > 0.7
    scores = teacher.score(columns(tested))
    assert np.exp(scores).sum(axis=1) == pytest.approx(1.0, abs=1e-4)
    unheard = teacher.labels.index(UNHEARD)
    assert np.isfinite(scores[:, unheard]).all()


def test_a_row_without_a_known_term_has_a_reason_and_spares_the_others(
    fitted: Fitted, tmp_path: Path
) -> None:
    source = write_source(tmp_path / "cases", fitted)
    fit_neighbours(source, Config(), tmp_path / "teacher", lambda metrics: None)
    teacher = load_teacher(tmp_path / "teacher")
    row = {**fitted.rows("test")[0], "image": None}
    rows = [{**row, "terms": terms} for terms in ([], ["HP:9999999"], [SEIZURE])]
    scores = teacher.score(columns(rows))
    assert np.isnan(scores[:2]).all()
    assert np.isfinite(scores[2]).all()
    assert teacher.unusable_reasons(columns(rows)) == ["no_known_term", "no_known_term", ""]
    assert teacher.score(columns([])).shape == (0, len(teacher.labels))


def test_no_training_patient_of_the_catalogue_is_an_error(fitted: Fitted, tmp_path: Path) -> None:
    source = write_source(tmp_path / "cases", fitted, label_id=None)
    with pytest.raises(TeacherError, match=r"found none among \d+; .* teacher\.name=fusion"):
        fit_neighbours(source, Config(), tmp_path / "teacher", lambda metrics: None)


def test_a_changed_file_is_refused(fitted: Fitted, tmp_path: Path) -> None:
    source, out = write_source(tmp_path / "cases", fitted), tmp_path / "teacher"
    fit_neighbours(source, Config(), out, lambda metrics: None)
    file = out / "patients.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 4
    file.write_bytes(content)
    with pytest.raises(TeacherError, match="damaged"):
        load_teacher(out)
