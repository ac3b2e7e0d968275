"""Command `mint score`: predictions of any program, measured on the cases of an evaluation."""

from pathlib import Path

import pyarrow.compute as pc

from mint_ray.commands.evaluations import cases_folder, read_cases, read_listed_cases
from mint_ray.errors import DataError
from mint_ray.evaluation.metrics.compute import evaluate
from mint_ray.evaluation.outcomes import EvaluatedCases, collect_outcomes
from mint_ray.evaluation.predictions import read_predictions
from mint_ray.evaluation.results import Metrics
from mint_ray.evaluation.split_list import read_split_list

_TOP_K, _BINS, _SAMPLES = 10, 10, 1000


def score(predictions: Path, folder: Path, split: Path | None = None) -> Metrics:
    """Measure predictions on all tested cases; a case without one is a miss.

    Args:
        predictions: a file with the columns of `PREDICTION_SCHEMA`.
        folder: of a finished `evaluate` or `compare` step; with a split list also of a `cases`
            step, which has the right answers.
        split: a split list, whose tested cases count in place of those that the step tested.

    Raises:
        ConfigError: the folder is not that of such a step.
        DataError: a file is missing or damaged, or the predictions are of other cases.
    """
    cases = _read_cases(folder, split)
    found, tested = read_predictions(predictions), set(cases.case_ids)
    others = sorted(set(found["case_id"].to_pylist()) - tested)
    if others or not found.num_rows:
        example = f", such as {others[0]}" if others else ""
        raise DataError(
            f"{predictions}: expected predictions for the {len(tested)} tested cases of "
            f"{split or folder}, found {found.num_rows} rows with {len(others)} other "
            f"cases{example}",
            {"other_case": len(others)},
        )
    outcomes = collect_outcomes(found, cases, _TOP_K)
    return evaluate(outcomes, cases, bins=_BINS, samples=_SAMPLES, seed=0)


def _read_cases(folder: Path, split: Path | None) -> EvaluatedCases:
    if split is not None:
        return read_listed_cases(cases_folder(folder, or_cases=True), read_split_list(split))
    cases = cases_folder(folder)
    tested = pc.unique(read_predictions(folder / "predictions.parquet")["case_id"])
    return read_cases(cases, set(tested.to_pylist()))
