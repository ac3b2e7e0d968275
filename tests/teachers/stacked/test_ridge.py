"""The ridge regression of labels: by hand, and with more patients than it takes."""

import numpy as np
import pytest

from mint_ray.teachers.stacked import ridge
from mint_ray.teachers.stacked.ridge import NOISE, LabelRidge

LABELS = np.array([0, 0, 1, 2])


def test_it_is_that_of_a_plain_computation() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(4, 6))
    weights = np.array([1.0, 0.5, 1.0, 0.25])
    fitted = LabelRidge(LABELS, weights)
    fitted.fit((vectors @ vectors.T).astype(np.float32))
    asked = rng.normal(size=(3, 6))
    # The primal solution: weighted least squares with a penalty of the coefficients.
    targets = np.eye(3)[LABELS]
    scatter = (vectors.T * weights) @ vectors + NOISE * np.eye(6)
    expected = asked @ np.linalg.solve(scatter, (vectors.T * weights) @ targets)
    assert fitted.score((asked @ vectors.T).astype(np.float32)) == pytest.approx(expected, abs=1e-4)


def test_of_too_many_patients_each_label_keeps_equally_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ridge, "MOST_PATIENTS", 5)
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2])
    fitted = LabelRidge(labels, np.ones(9))
    assert np.bincount(labels[fitted.patients]).tolist() == [2, 2, 1]
    fitted.fit(np.eye(5, dtype=np.float32))
    assert fitted.score(np.eye(5, dtype=np.float32)).argmax(axis=1).tolist() == [0, 0, 1, 1, 2]


def test_a_label_whose_patients_are_too_many_keeps_its_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ridge, "MOST_PATIENTS", 2)
    fitted = LabelRidge(LABELS, np.ones(4))
    fitted.fit(np.eye(2, dtype=np.float32))
    assert fitted.score(np.eye(2, dtype=np.float32))[:, 2].tolist() == [0, 0]
