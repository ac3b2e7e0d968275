"""Metrics of all compared systems, computed from their answers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mint_ray.common.arrays import Bools
from mint_ray.config.evaluation import EvaluationConfig
from mint_ray.evaluation.answers import Answers
from mint_ray.evaluation.metrics.compute import evaluate
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes, collect_outcomes, index_cases
from mint_ray.evaluation.results import ANSWERED_FREELY, Metrics
from mint_ray.evaluation.systems import SystemRun
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.tasks.task import MOST_LABELS, Task


@dataclass(frozen=True)
class Measurement:
    """Metrics of a comparison, and the arrays that they were computed from."""

    cases: EvaluatedCases
    """All tested cases."""
    outcomes: dict[str, Outcomes]
    """By name of the run. Those of free answers cover only the cases with free answers."""
    metrics: Metrics


def measure_answers(
    answers: Answers,
    tested: pa.Table,
    catalogue: Catalogue,
    *,
    settings: EvaluationConfig,
    seed: int,
    task: Task,
) -> Measurement:
    """Measure rankings on all tested cases, and free answers on the cases that have them.

    These cases are a stratum of both, `ANSWERED_FREELY`, unless all tested cases are among them.

    Args:
        answers: of all systems.
        tested: case_id, group_id, label_id, label_name, seen of the tested cases, and publications
            where cases without one shall be a stratum of their own.
        catalogue: the labels.
        settings: number of bootstrap resamples, confidence bins and listed names.
        seed: of the resamples.
        task: of the tested students.

    Raises:
        DataError: there is no tested case, or one is unusable; see `index_cases`.
    """
    free_runs = [run for run in answers.runs if run.free]
    is_subset = bool(free_runs) and len(answers.free_cases) < tested.num_rows
    apart = answers.free_cases if is_subset else frozenset()
    whole = task.input_modality == "image" and len(catalogue) <= MOST_LABELS

    def measure(runs: Sequence[SystemRun], table: pa.Table) -> Measurement:
        cases = index_tested(table, catalogue, apart)
        predictions = answers.predictions_of(runs)
        asked = [run.name for run in runs]
        outcomes = collect_outcomes(predictions, cases, settings.top_k, whole=whole, systems=asked)
        metrics = evaluate(
            outcomes,
            cases,
            bins=settings.calibration_bins,
            samples=settings.bootstrap_samples,
            seed=seed,
            teacher=answers.teacher_lists,
            by_class=whole,
        )
        return Measurement(cases, outcomes, metrics)

    rankings = measure([run for run in answers.runs if not run.free], tested)
    if not free_runs:
        return rankings
    answered_freely = pa.array(sorted(answers.free_cases), pa.string())
    free = measure(free_runs, tested.filter(pc.is_in(tested["case_id"], answered_freely)))
    return Measurement(
        cases=rankings.cases,
        outcomes=rankings.outcomes | free.outcomes,
        metrics=rankings.metrics | free.metrics,
    )


def index_tested(
    tested: pa.Table, catalogue: Catalogue, free_cases: Collection[str] = ()
) -> EvaluatedCases:
    """Index tested cases by the answers of a catalogue, with strata of publications and reports.

    Args:
        tested: as of `measure_answers`.
        catalogue: the labels.
        free_cases: ids of the cases of the stratum `ANSWERED_FREELY`; without them there is none.

    Raises:
        DataError: there is no tested case, or one is unusable; see `index_cases`.
    """
    primary_ids = {any_id: label.label_id for label in catalogue.labels for any_id in label.ids}
    names = {label.label_id: (label.name, *label.synonyms) for label in catalogue.labels}
    strata = _strata(tested, "publications", ("published", "unpublished"))
    strata |= _strata(tested, "described", ("described", "undescribed"))
    if free_cases:
        chosen = set(free_cases)
        strata[ANSWERED_FREELY] = np.array(
            [case_id in chosen for case_id in tested["case_id"].to_pylist()], dtype=np.bool_
        )
    return index_cases(tested, primary_ids, names, strata)


def _strata(cases: pa.Table, column: str, names: tuple[str, str]) -> dict[str, Bools]:
    """Return the strata of cases with and without a value in a column, where there are both."""
    if column not in cases.column_names:
        return {}
    has_value = np.array([bool(value) for value in cases[column].to_pylist()], dtype=np.bool_)
    if has_value.all() or not has_value.any():
        return {}
    return {names[0]: has_value, names[1]: ~has_value}
