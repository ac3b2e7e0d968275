"""Predictions of whole distributions over few answers, drawn with a seed."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes, collect_outcomes, index_cases
from mint_ray.evaluation.predictions import rank_scores

LABELS = ("TISSUE:a", "TISSUE:b", "TISSUE:c", "TISSUE:d")
NAMES = ("Adrenal gland", "Breast", "Colon", "Ductus <b>")

CLASS_METRICS = ("balanced_accuracy", "macro_f1", "top1_by_group", "classwise_ece", "top5")
"""Measured beside the rest where there are few answers, and all of them are ranked."""


def draw(
    n: int = 120, per_group: int = 3, seed: int = 0, system: str = "orpo"
) -> tuple[EvaluatedCases, Outcomes, NDArray[np.float64], NDArray[np.int64]]:
    """Cases, one system's outcomes, its probabilities (n, 4) and known answers (n,)."""
    rng = np.random.default_rng(seed)
    known = np.repeat(rng.choice(4, n // per_group, p=[0.5, 0.3, 0.15, 0.05]), per_group)
    logits = rng.normal(size=(n, 4)) + 1.5 * np.eye(4)[known]
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = case_table([f"p{i // per_group}" for i in range(n)], known.tolist())
    rows = rank_scores(
        system,
        table["case_id"].to_pylist(),
        np.log(probability),
        LABELS,
        NAMES,
        known.tolist(),
        len(LABELS),
    )
    cases = index_cases(table, {label: label for label in LABELS})
    return cases, collect_outcomes(rows, cases, 2, whole=True)[system], probability, known


def case_table(groups: list[str], known: list[int]) -> pa.Table:
    """Test cases of the given groups whose known answers are those labels."""
    return pa.table(
        {
            "case_id": [f"c{i:04}" for i in range(len(groups))],
            "group_id": groups,
            "label_id": [LABELS[place] for place in known],
            "seen": [True] * len(groups),
        }
    )
