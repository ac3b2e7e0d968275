"""Comparison of systems that were evaluated apart: joined predictions and paired differences."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mint_ray.common.files import write_text
from mint_ray.errors import DataError
from mint_ray.evaluation.answers import Answers, SystemAnswers
from mint_ray.evaluation.contrasts import Contrast
from mint_ray.evaluation.measurement import Measurement
from mint_ray.evaluation.metrics.compute import CLASS_COMPARED, COMPARED, compare
from mint_ray.evaluation.metrics.mcnemar import McNemar, mcnemar
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes
from mint_ray.evaluation.predictions import PREDICTION_SCHEMA
from mint_ray.evaluation.results import MetricValue
from mint_ray.evaluation.systems import (
    FREE,
    Perturbation,
    SystemRun,
    in_order,
    is_control,
    split_variant,
)


@dataclass(frozen=True)
class Evaluated:
    """One finished evaluation: its predictions, and the names of its systems in the comparison."""

    predictions: pa.Table
    """Rows of `PREDICTION_SCHEMA`; those of systems that `names` lacks are left out."""
    names: Mapping[str, str]
    """Name in the comparison by name in the predictions."""
    tested: int
    """Number of tested cases. One that a system could not rank has no predictions: a miss."""
    measured: frozenset[str] = frozenset()
    """Names of the systems that were measured there, also those that could rank no case."""


@dataclass(frozen=True)
class PairedDifferences:
    """Differences of one system less the reference in one stratum."""

    metrics: Mapping[str, MetricValue]
    """Difference with its interval, by metric."""
    mcnemar: McNemar
    """Test of the first answers; the system is the first of both."""


Differences = dict[str, dict[str, PairedDifferences]]
"""By system without the reference, and by stratum that has a case."""


@dataclass(frozen=True)
class SystemCost:
    """Cost of a language model; its training includes those that it continues from."""

    steps: int
    """Optimizer steps; 0 for a model without a training."""
    tokens: float | None
    """Tokens of prompts and answers in those steps; None for trainings that did not count them."""
    training_seconds: float | None
    """Seconds of those steps; None as for tokens."""
    ranking_seconds: float | None
    """Seconds of the whole evaluation, or of all questions; None where other systems were ranked
    too."""


def join_evaluations(
    evaluations: Mapping[str, Evaluated],
    tested: Collection[str],
    free_cases: Collection[str] = (),
) -> Answers:
    """Join the predictions of evaluations under the names that their systems have here.

    Args:
        evaluations: by name of the compared system; no two have a system of one name.
        tested: ids of the tested cases.
        free_cases: ids of those that were also answered freely.

    Raises:
        DataError: an evaluation tested other cases, or lacks a system.
    """
    systems: dict[str, dict[SystemRun, pa.Table]] = {}
    for name, evaluated in evaluations.items():
        _check_same_cases(name, evaluated, tested)
        table = evaluated.predictions.select(PREDICTION_SCHEMA.names)
        for named in pc.unique(table["system"]).to_pylist():
            run = _run_of(named, evaluated.names)
            if run is not None:
                rows = table.filter(pc.equal(table["system"], named))
                column = pa.array([run.name] * rows.num_rows, pa.string())
                renamed = rows.set_column(1, PREDICTION_SCHEMA.field("system"), column)
                systems.setdefault(run.system, {})[run] = renamed
        for named, system in evaluated.names.items():
            if system not in systems and named in evaluated.measured:
                systems[system] = {SystemRun(system): PREDICTION_SCHEMA.empty_table()}
        missing = [system for system in evaluated.names.values() if system not in systems]
        if missing:
            raise DataError(
                f"compare.systems.{name}: expected predictions of {', '.join(missing)}, found none"
            )
    answers = {name: SystemAnswers(runs) for name, runs in systems.items()}
    return Answers(answers, student="", free_cases=frozenset(free_cases))


def _run_of(named: str, names: Mapping[str, str]) -> SystemRun | None:
    """Return the run that a name in predictions stands for; None if it is not compared."""
    system, suffix = split_variant(named)
    if system not in names:
        return None
    changed = suffix.removesuffix(FREE).removeprefix("_")
    perturbation = Perturbation(changed) if changed else None
    return SystemRun(names[system], perturbation, free=suffix.endswith(FREE))


def _check_same_cases(name: str, evaluated: Evaluated, tested: Collection[str]) -> None:
    others = set(evaluated.predictions["case_id"].to_pylist()) - set(tested)
    if others or evaluated.tested != len(tested):
        example = f", such as {min(others)}" if others else ""
        raise DataError(
            f"compare.systems.{name}: expected an evaluation of the {len(tested)} tested cases of "
            f"this comparison, found one of {evaluated.tested} with {len(others)} other "
            f"cases{example}; remove its folder and run the comparison again",
            {"other_case": len(others)},
        )


def compared_outcomes(measurement: Measurement) -> dict[str, Outcomes]:
    """Return the outcomes that cover all tested cases, in order, without controls."""
    outcomes = measurement.outcomes
    return {
        name: outcomes[name]
        for name in in_order(outcomes)
        if not is_control(name) and len(outcomes[name].rank) == len(measurement.cases)
    }


def paired_differences(
    outcomes: Mapping[str, Outcomes],
    cases: EvaluatedCases,
    reference: str,
    *,
    samples: int,
    seed: int,
    by_class: bool = False,
) -> Differences:
    """Compute the paired differences of every system less the reference, by stratum.

    Args:
        outcomes: by system, from `collect_outcomes` on the same cases.
        cases: the evaluated cases.
        reference: one of the systems.
        samples: number of bootstrap resamples of groups.
        seed: of the resamples.
        by_class: answers are few, so compare `CLASS_COMPARED` instead of `COMPARED`.
    """
    metrics = CLASS_COMPARED if by_class else COMPARED
    differences: Differences = {}
    for system in outcomes:
        if system == reference:
            continue
        differences[system] = {}
        for stratum, inside in cases.strata.items():
            if not inside.any():
                continue
            found = compare(
                outcomes,
                cases,
                system,
                reference,
                samples=samples,
                seed=seed,
                metrics=metrics,
                stratum=stratum,
            )
            differences[system][stratum] = PairedDifferences(
                {item.metric: item.interval.as_value() for item in found},
                mcnemar(outcomes[system].correct[inside], outcomes[reference].correct[inside]),
            )
    return differences


def write_differences(
    path: Path,
    reference: str,
    differences: Differences,
    contrasts: Mapping[str, Contrast] | None = None,
) -> None:
    """Write `differences.json`; it appears whole or not at all.

    It holds `{reference, differences: {system: {stratum: {metrics: {metric: {value, low, high, n}},
    mcnemar: {only_first, only_second, p_value}}}}}`; the system is the first, the reference the
    second. Where there are contrasts, it also holds `{contrasts: {name: {weights: {system: weight},
    strata: {stratum: {metric: {value, low, high, n}}}}}}`.
    """
    tree: dict[str, Any] = {
        "reference": reference,
        "differences": {
            system: {stratum: asdict(item) for stratum, item in strata.items()}
            for system, strata in differences.items()
        },
    }
    if contrasts:
        tree["contrasts"] = {name: asdict(item) for name, item in contrasts.items()}
    write_text(path, json.dumps(tree, indent=1, allow_nan=False) + "\n")
