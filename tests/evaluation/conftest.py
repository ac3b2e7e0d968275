"""A small evaluation with figures that can be checked by hand."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes, collect_outcomes, index_cases
from mint_ray.evaluation.predictions import PREDICTION_SCHEMA

PRIMARY = {"OMIM:1": "OMIM:1", "ORPHA:10": "OMIM:1", "OMIM:2": "OMIM:2", "OMIM:3": "OMIM:3"}
NAMES = {
    "OMIM:1": ("Alpha syndrome", "Alpha-Beta disease"),
    "OMIM:2": ("Gamma syndrome",),
    "OMIM:3": ("Delta dysplasia",),
}

Row = tuple[str, str, int, str | None, str, float | None]


def predictions_of(rows: list[Row]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [[]] * len(PREDICTION_SCHEMA)
    arrays = [
        pa.array(column, field.type)
        for column, field in zip(columns, PREDICTION_SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=PREDICTION_SCHEMA)


@pytest.fixture
def case_table() -> pa.Table:
    """Four cases of three publications; the last one's answer is in no catalogue entry."""
    return pa.table(
        {
            "case_id": ["a", "b", "c", "d"],
            "group_id": ["g1", "g1", "g2", "g3"],
            "label_id": ["ORPHA:10", "OMIM:2", "OMIM:3", "OMIM:9"],
            "seen": [True, True, False, False],
            "split": ["test"] * 4,
        }
    )


@pytest.fixture
def cases(case_table: pa.Table) -> EvaluatedCases:
    return index_cases(case_table, PRIMARY, NAMES)


@pytest.fixture
def predictions() -> pa.Table:
    """The student is right on a, third on b (beyond its list of two), silent on c, wrong on d."""
    return predictions_of(
        [
            ("a", "orpo", 1, "OMIM:1", "Alpha syndrome", 0.75),
            ("a", "orpo", 2, "OMIM:2", "Gamma syndrome", 0.25),
            ("b", "orpo", 1, "OMIM:1", "Alpha syndrome", 0.5),
            ("b", "orpo", 2, "OMIM:3", "Delta dysplasia", 0.25),
            ("b", "orpo", 3, "OMIM:2", "Gamma syndrome", 0.125),
            ("d", "orpo", 1, "OMIM:2", "Gamma syndrome", 1.0),
            ("d", "orpo", 2, None, "Omega fever", 0.0),
            ("a", "teacher", 1, "OMIM:1", "Alpha syndrome", 1.0),
            ("b", "teacher", 1, "OMIM:2", "Gamma syndrome", 1.0),
            ("c", "teacher", 1, "OMIM:3", "Delta dysplasia", 1.0),
            ("d", "teacher", 1, "OMIM:3", "Delta dysplasia", 1.0),
        ]
    )


@pytest.fixture
def outcomes(predictions: pa.Table, cases: EvaluatedCases) -> dict[str, Outcomes]:
    return collect_outcomes(predictions, cases, top_k=2)


@pytest.fixture
def outcome_of() -> Callable[..., Outcomes]:
    """An outcome with given confidences and correctness, for calibration."""

    def build(confidence: list[float], correct: list[bool]) -> Outcomes:
        n = len(confidence)
        return Outcomes(
            rank=np.where(correct, 1.0, np.inf),
            probability=np.where(correct, confidence, 0.0),
            confidence=np.array(confidence, dtype=np.float64),
            listed=np.ones((n, 1), dtype=np.bool_),
            codes=np.zeros((n, 1), dtype=np.int64),
            lenient=np.zeros((n, 1), dtype=np.bool_),
            has_probabilities=True,
        )

    return build
