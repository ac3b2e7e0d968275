"""Command `mint score`: predictions of any program, measured on the cases of an evaluation."""

from pathlib import Path

import pyarrow.compute as pc

from mint_ray.commands.evaluations import cases_folder, read_cases
from mint_ray.errors import DataError
from mint_ray.evaluation.metrics.compute import evaluate
from mint_ray.evaluation.outcomes import collect_outcomes
from mint_ray.evaluation.predictions import read_predictions
from mint_ray.evaluation.results import Metrics

_TOP_K, _BINS, _SAMPLES = 10, 10, 1000


def score(predictions: Path, evaluation: Path) -> Metrics:
    """Measure predictions on all cases that an evaluation tested; a case without one is a miss.

    Args:
        predictions: a file with the columns of `PREDICTION_SCHEMA`.
        evaluation: folder of a finished `evaluate` or `compare` step.

    Raises:
        ConfigError: the folder is not that of such a step.
        DataError: a file is missing or damaged, or the predictions are of other cases.
    """
    folder, found = cases_folder(evaluation), read_predictions(predictions)
    tested = set(
        pc.unique(read_predictions(evaluation / "predictions.parquet")["case_id"]).to_pylist()
    )
    others = sorted(set(found["case_id"].to_pylist()) - tested)
    if others or not found.num_rows:
        example = f", such as {others[0]}" if others else ""
        raise DataError(
            f"{predictions}: expected predictions for the {len(tested)} tested cases of "
            f"{evaluation}, found {found.num_rows} rows with {len(others)} other cases{example}",
            {"other_case": len(others)},
        )
    cases = read_cases(folder, tested)
    outcomes = collect_outcomes(found, cases, _TOP_K)
    return evaluate(outcomes, cases, bins=_BINS, samples=_SAMPLES, seed=0)
