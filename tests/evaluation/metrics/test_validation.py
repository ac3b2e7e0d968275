from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mint_ray.evaluation.metrics.compute import compare, evaluate
from mint_ray.evaluation.metrics.validation import (
    MEASURED,
    VALIDATED_SCHEMA,
    paired_differences,
    validated_file,
    validation_metrics,
)
from mint_ray.evaluation.outcomes import collect_outcomes, index_cases
from mint_ray.evaluation.predictions import PREDICTION_SCHEMA

LABELS = ("OMIM:1", "OMIM:2", "OMIM:3")
N = 40


def answers(seed: int) -> list[dict[str, object]]:
    """Invented: the rank of the known answer, or a miss, and probabilities that fit it."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for i in range(N):
        rank = int(rng.integers(1, 5))
        confidence = float(rng.uniform(0.4, 1.0))
        known = confidence if rank == 1 else float((1 - confidence) / 2)
        rows.append(
            {
                "case_id": f"case-{i:02d}",
                "group_id": f"group-{i // 3:02d}",
                "rank": rank if rank < 4 else None,
                "probability": known if rank < 4 else 0.0,
                "confidence": confidence,
                "entropy": float(i),
            }
        )
    return rows


def table(seed: int) -> pa.Table:
    return pa.Table.from_pylist(answers(seed), VALIDATED_SCHEMA)


def predictions(seed: int, system: str) -> pa.Table:
    """The same answers as the evaluation reads them."""
    rows = []
    for row in answers(seed):
        base = {"case_id": row["case_id"], "system": system, "text": "x"}
        rank = row["rank"]
        first = LABELS[0] if rank == 1 else LABELS[1]
        rows.append({**base, "rank": 1, "label_id": first, "probability": row["confidence"]})
        if rank not in (None, 1):
            known = {"rank": rank, "label_id": LABELS[0], "probability": row["probability"]}
            rows.append(base | known)
    return pa.Table.from_pylist(rows, PREDICTION_SCHEMA)


def test_metrics_and_differences_are_those_of_the_evaluation() -> None:
    cases = pa.table(
        {
            "case_id": [row["case_id"] for row in answers(0)],
            "group_id": [row["group_id"] for row in answers(0)],
            "label_id": [LABELS[0]] * N,
            "seen": [True] * N,
        }
    )
    indexed = index_cases(cases, {label: label for label in LABELS})
    both = pa.concat_tables([predictions(0, "a"), predictions(1, "b")])
    outcomes = collect_outcomes(both, indexed, 3)
    expected = evaluate(outcomes, indexed, bins=10, samples=100, seed=0)["a"]["all"]
    found = validation_metrics(table(0), bins=10)
    assert set(found) == {*MEASURED, "confidence", "entropy"}
    assert found["confidence"] == pytest.approx(np.mean(outcomes["a"].confidence))
    assert found["entropy"] == (N - 1) / 2
    for name in MEASURED:
        assert found[name] == pytest.approx(expected[name]["value"]), name
    gaps = paired_differences(table(0), table(1), bins=10, samples=100, seed=0)
    names = ("top1", "top3", "top10", "mrr", "nll")
    for difference in compare(outcomes, indexed, "a", "b", samples=100, seed=0, metrics=names):
        assert gaps[difference.metric] == difference.interval


def test_the_order_of_rows_does_not_matter_and_other_cases_are_refused() -> None:
    turned = table(0).take(list(reversed(range(N))))
    gaps = paired_differences(turned, table(0), bins=10, samples=100, seed=0)
    assert {(gap.low, gap.value, gap.high) for gap in gaps.values()} == {(0.0, 0.0, 0.0)}
    with pytest.raises(ValueError, match="same cases"):
        paired_differences(table(0), table(1).slice(1), bins=10, samples=100, seed=0)


def test_files_sort_by_their_step() -> None:
    names = [validated_file(Path("x"), step).name for step in (9, 10, 100)]
    assert names == sorted(names)
