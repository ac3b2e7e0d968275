"""The fitted teacher: what it learns, and what it does with odd rows."""

from typing import Any

import numpy as np
import pytest

from mint_ray.errors import TeacherError
from mint_ray.images.decode import UNREADABLE
from mint_ray.teachers.base import Teacher, bad_rows, load_teacher
from mint_ray.teachers.fusion.teacher import NOTHING_TO_JUDGE
from tests.teachers.conftest import FACIAL, Fitted, columns, top1


@pytest.fixture(scope="module")
def teacher(fitted: Fitted) -> Teacher:
    return load_teacher(fitted.folder)


def facial(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Patients of the diseases that the face tells, with a finding to see."""
    return [r for r in rows if int(r["label_id"][-1]) < FACIAL and r["face_terms"]]


def test_held_out_patients_are_recognised(fitted: Fitted, teacher: Teacher) -> None:
    assert top1(teacher, fitted.rows("test")) > 0.75


def test_scores_are_log_probabilities(fitted: Fitted, teacher: Teacher) -> None:
    scores = teacher.score(columns(fitted.rows("test")))
    assert scores.dtype == np.float32
    assert scores.shape == (len(fitted.rows("test")), len(fitted.catalogue))
    np.testing.assert_allclose(np.exp(scores.astype(float)).sum(axis=1), 1.0, atol=1e-5)


def test_a_face_alone_is_enough_for_a_facial_disease(fitted: Fitted, teacher: Teacher) -> None:
    rows = [{**r, "terms": [], "excluded_terms": []} for r in facial(fitted.rows("test"))]
    assert top1(teacher, rows) > 0.5  # chance: 1 in 8


def test_without_the_face_the_same_patients_are_not_recognised(
    fitted: Fitted, teacher: Teacher
) -> None:
    rows = facial(fitted.rows("test"))
    assert top1(teacher, rows) > top1(teacher, [{**r, "image": None} for r in rows]) + 0.3


def test_findings_told_in_words_replace_the_face(fitted: Fitted, teacher: Teacher) -> None:
    rows = facial(fitted.rows("test"))
    told = [{**r, "terms": r["terms"] + r["face_terms"], "image": None} for r in rows]
    assert top1(teacher, told) > 0.5


def test_another_patients_face_changes_the_scores(fitted: Fitted, teacher: Teacher) -> None:
    batch = columns(facial(fitted.rows("test")))
    swapped = batch | {"image": batch["image"][::-1]}
    assert np.abs(teacher.score(batch) - teacher.score(swapped)).max() > 0.1


def test_nothing_but_the_promised_columns_is_read(fitted: Fitted, teacher: Teacher) -> None:
    class Promised(dict[str, Any]):
        def __missing__(self, key: str) -> None:
            pytest.fail(f"read {key}")

    teacher.score(Promised(columns(fitted.rows("test")[:2])))


def test_a_row_does_not_depend_on_its_batch(fitted: Fitted, teacher: Teacher) -> None:
    rows = fitted.rows("test")[:9]
    together = teacher.score(columns(rows))
    alone = np.concatenate([teacher.score(columns([row])) for row in rows])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_bad_rows_are_nan_and_leave_the_others_alone(fitted: Fitted, teacher: Teacher) -> None:
    good = fitted.rows("test")[0]
    broken = {**good, "image": good["image"][:200]}
    blank = {**good, "terms": [], "excluded_terms": [], "image": None}
    unknown = {**blank, "terms": ["HP:9999999"]}
    batch = columns([good, broken, blank, unknown])
    scores = teacher.score(batch)
    assert bad_rows(scores).tolist() == [False, True, True, True]
    assert teacher.unusable_reasons(batch) == ["", UNREADABLE, NOTHING_TO_JUDGE, NOTHING_TO_JUDGE]
    np.testing.assert_allclose(scores[0], teacher.score(columns([good]))[0], atol=1e-5)


def test_an_empty_batch_has_no_scores(teacher: Teacher) -> None:
    assert teacher.score(columns([])).shape == (0, len(teacher.labels))
    assert teacher.unusable_reasons(columns([])) == []


def test_a_saved_teacher_scores_the_same_each_time(fitted: Fitted, teacher: Teacher) -> None:
    batch = columns(fitted.rows("validation"))
    again = load_teacher(fitted.folder)
    assert again.revision == teacher.revision
    np.testing.assert_array_equal(again.score(batch), teacher.score(batch))


def test_a_damaged_weight_file_is_refused(
    fitted: Fitted, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = tmp_path_factory.mktemp("damaged")
    for file in fitted.folder.iterdir():
        content = bytearray(file.read_bytes())
        if file.suffix == ".safetensors":
            content[-5] ^= 1
        (copy / file.name).write_bytes(bytes(content))
    with pytest.raises(TeacherError, match="damaged"):
        load_teacher(copy)
