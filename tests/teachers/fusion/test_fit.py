"""Fitting: what it reports, that it repeats itself, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from mint_ray.errors import TeacherError
from mint_ray.knowledge.annotations import Annotations
from mint_ray.knowledge.catalogue import build_catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.base import bad_rows, load_teacher
from mint_ray.teachers.fusion.fit import fit_teacher
from tests.teachers.conftest import SETTINGS, Fitted, columns, top1

QUICK = SETTINGS.model_copy(update={"epochs": 1, "face_samples": 40, "simulated_per_label": 2})


def test_every_epoch_is_reported(fitted: Fitted) -> None:
    assert [metrics["step"] for metrics in fitted.reports] == [1, 2, 3, 4, 5]
    assert fitted.reports[-1]["loss"] < fitted.reports[0]["loss"]


def test_validation_accuracy_is_returned(fitted: Fitted) -> None:
    assert fitted.metrics["validation.top1"] > 0.5
    assert fitted.metrics["validation.top10"] == 1.0  # of eight labels


def test_the_same_seed_gives_the_same_teacher(fitted: Fitted, tmp_path: Path) -> None:
    revisions = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        fit_teacher(
            fitted.cases, fitted.catalogue, fitted.annotations, load_ontology(), QUICK, seed,
            tmp_path / name, lambda metrics: None,
        )  # fmt: skip
        revisions.append(load_teacher(tmp_path / name).revision)
    assert revisions[0] == revisions[1] != revisions[2]


def test_training_rows_alone_are_enough(fitted: Fitted, tmp_path: Path) -> None:
    train = fitted.cases.filter([row == "train" for row in fitted.cases["split"].to_pylist()])
    metrics = fit_teacher(
        train, fitted.catalogue, fitted.annotations, load_ontology(), QUICK, 0, tmp_path,
        lambda metrics: None,
    )  # fmt: skip
    assert metrics == {}  # no validation split, nothing measured


def test_text_only_cases_make_a_teacher_that_needs_no_image(fitted: Fitted, tmp_path: Path) -> None:
    blind = [
        {**row, "image": None, "terms": row["terms"] + row["face_terms"], "face_terms": []}
        for row in fitted.cases.to_pylist()
    ]
    cases = fitted.cases.from_pylist(blind, fitted.cases.schema)
    fit_teacher(
        cases, fitted.catalogue, fitted.annotations, load_ontology(), SETTINGS, 0, tmp_path,
        lambda metrics: None,
    )  # fmt: skip
    teacher = load_teacher(tmp_path)
    rows = [row for row in blind if row["split"] == "test"]
    assert top1(teacher, rows) > 0.75


def test_a_label_without_patients_scores_low_but_finite(fitted: Fitted, tmp_path: Path) -> None:
    catalogue = build_catalogue(fitted.annotations, {"OMIM:999999": "Unheard of"}, "OMIM", "all")
    settings = QUICK.model_copy(update={"epochs": 4, "simulated_per_label": 20})
    fit_teacher(
        fitted.cases, catalogue, fitted.annotations, load_ontology(), settings, 0, tmp_path,
        lambda metrics: None,
    )  # fmt: skip
    scores = load_teacher(tmp_path).score(columns(fitted.rows("test")))
    assert not bad_rows(scores).any()
    assert (scores[:, catalogue.index_of("OMIM:999999")] < np.log(1 / len(catalogue))).all()


def test_nothing_to_learn_from_is_refused(fitted: Fitted, tmp_path: Path) -> None:
    names = {f"OMIM:{i}": f"Unheard of {i}" for i in range(2)}
    empty = Annotations({}, {}, {}, {})
    with pytest.raises(TeacherError, match="neither"):
        fit_teacher(
            fitted.cases, build_catalogue(empty, names, "OMIM", "all"), empty, load_ontology(),
            QUICK, 0, tmp_path, lambda metrics: None,
        )  # fmt: skip
