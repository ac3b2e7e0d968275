"""A student's folder with look-ups: ranking of notes and findings by the pool."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mint_ray.errors import DataError
from mint_ray.evaluation.calibration.calibrator import AnswerCalibration, calibrate
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.students.ranking.fused import FusedRanker, with_look_ups
from mint_ray.students.ranking.ranker import Ranker
from mint_ray.students.student import Student
from mint_ray.students.student_folder import StudentInfo
from mint_ray.teachers.note_look_ups import FOLDER, NoteLookUps
from tests.evaluation.calibration.test_scores import drawn
from tests.students.joined import POOL, join_look_ups

# Marfan syndrome, cystic fibrosis, Huntington disease: annotated; and one with a name only.
IDS = ("OMIM:143100", "OMIM:154700", "OMIM:219700", "OMIM:999999")
MARFAN = (("HP:0001166", "HP:0001083", "HP:0002616"), ())
NOTE = "Arachnodactyly. Ectopia lentis. Aortic root aneurysm."


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue(Label(i, f"disease {i}", (i,), (), ()) for i in IDS)


@pytest.fixture(scope="module")
def folder(catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Path:
    student = tmp_path_factory.mktemp("student")
    catalogue.write(student / "catalogue.parquet")
    join_look_ups(student, replace(POOL, student_temperature=2.0))
    return student


@pytest.fixture
def ranker(model: object, tokenizer: object, catalogue: Catalogue) -> Ranker:
    student = Student(model, tokenizer, StudentInfo("tiny", None, 2, 700, 1400), None)
    return Ranker(student, catalogue.names, top_k=2, search="beam", beam_width=2)


def fused(ranker: Ranker, folder: Path, catalogue: Catalogue) -> FusedRanker:
    opened = with_look_ups(ranker, folder, catalogue, None, listed=4)
    assert isinstance(opened, FusedRanker)
    return opened


def test_probabilities_are_those_of_the_pool(
    ranker: Ranker, folder: Path, catalogue: Catalogue
) -> None:
    [result] = fused(ranker, folder, catalogue).rank([NOTE], [1])
    [own] = ranker.score([NOTE], [None])
    student = np.zeros(len(IDS))
    student[own.labels] = np.exp(own.own) / np.exp(own.own).sum()
    look_ups = NoteLookUps({"knowledge": folder / FOLDER / "knowledge"}, catalogue)
    look_up = np.exp(look_ups.score([MARFAN])["knowledge"][0].astype(np.float64))
    floor = np.exp(POOL.floors[0])
    expected = np.sqrt((student + floor) * (look_up + floor))
    expected /= expected.sum()
    got = np.zeros(len(IDS))
    got[list(result.labels)] = result.probabilities
    assert got == pytest.approx(expected, abs=1e-6)
    assert result.labels[0] == 1
    assert (result.answer_rank, result.answer_probability) == (1, pytest.approx(expected[1]))


def test_stated_findings_stand_for_the_words(
    ranker: Ranker, folder: Path, catalogue: Catalogue
) -> None:
    opened = fused(ranker, folder, catalogue)
    assert opened.rank([NOTE], findings=[MARFAN]) == opened.rank([NOTE])
    assert opened.rank([NOTE], findings=[(("HP:0002072",), ())]) != opened.rank([NOTE])


def test_a_note_without_findings_is_the_students(
    ranker: Ranker, folder: Path, catalogue: Catalogue
) -> None:
    [with_both] = fused(ranker, folder, catalogue).score(["A person."], [3])
    [alone] = ranker.score(["A person."], [3])
    assert with_both.labels.tolist() == alone.labels.tolist()
    assert with_both.values == pytest.approx(alone.values / 2)
    assert with_both.scored_separately == alone.scored_separately
    assert fused(ranker, folder, catalogue).rank([]) == []


def test_a_plain_folder_keeps_the_students_ranking(
    ranker: Ranker, catalogue: Catalogue, tmp_path: Path
) -> None:
    assert with_look_ups(ranker, tmp_path, catalogue, None, listed=4) is ranker


def test_a_missing_look_up_is_named(
    ranker: Ranker, folder: Path, catalogue: Catalogue, tmp_path: Path
) -> None:
    shutil.copyfile(folder / "fused.json", tmp_path / "fused.json")
    with pytest.raises(DataError, match=r"no look_ups/knowledge; copy the whole folder"):
        with_look_ups(ranker, tmp_path, catalogue, None, listed=4)


@pytest.mark.parametrize("whole", [True, False])
def test_a_calibration_of_another_ranking_is_refused(
    ranker: Ranker, folder: Path, catalogue: Catalogue, tmp_path: Path, whole: bool
) -> None:
    calibration: AnswerCalibration = calibrate(
        drawn(40, seed=1), 0.9, search="beam", beam_width=2, top_k=2
    )
    chosen = folder if whole else tmp_path
    wrong = calibration if whole else replace(calibration, ranking="fused")
    with pytest.raises(DataError, match="belongs to the ranking"):
        with_look_ups(ranker, chosen, catalogue, wrong, listed=4)
    right = replace(calibration, ranking="fused") if whole else calibration
    with_look_ups(ranker, chosen, catalogue, right, listed=4)


def test_a_known_answer_ranks_behind_names_of_the_same_probability(
    ranker: Ranker, folder: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = fused(ranker, folder, catalogue)
    tied = np.log([[0.4, 0.2, 0.2, 0.2]])
    monkeypatch.setattr(type(joined._pool), "log_probabilities", lambda *_: tied)
    [scores] = joined.score([NOTE], [1])
    assert scores.answer_rank == 4
    assert scores.labels.tolist() == [0, 2, 3, 1]
