"""Command `mint score`: predictions of any program, measured on the cases of an evaluation."""

from pathlib import Path

from mint_ray.commands.evaluations import (
    Tested,
    cases_folder,
    read_cases,
    read_listed_cases,
    read_tested_of,
)
from mint_ray.config.evaluation import EvaluationConfig
from mint_ray.errors import DataError
from mint_ray.evaluation.metrics.compute import evaluate
from mint_ray.evaluation.outcomes import EvaluatedCases, collect_outcomes
from mint_ray.evaluation.predictions import read_predictions
from mint_ray.evaluation.results import Metrics
from mint_ray.evaluation.split_list import read_split_list
from mint_ray.tasks.task import MOST_LABELS


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
    cases, measured = _read_cases(folder, split)
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
    settings = EvaluationConfig() if measured is None else measured.settings
    of_images = measured is not None and measured.task.input_modality == "image"
    whole = of_images and cases.n_labels <= MOST_LABELS
    return evaluate(
        collect_outcomes(found, cases, settings.top_k, whole=whole),
        cases,
        bins=settings.calibration_bins,
        samples=settings.bootstrap_samples,
        seed=0 if measured is None else measured.seed,
        by_class=whole,
    )


def _read_cases(folder: Path, split: Path | None) -> tuple[EvaluatedCases, Tested | None]:
    """Return the tested cases, and how the step measured them; None with a split list."""
    if split is not None:
        listed = read_split_list(split)
        return read_listed_cases(cases_folder(folder, or_cases=True), listed), None
    measured = read_tested_of(folder)
    return read_cases(measured.cases, measured.case_ids), measured
