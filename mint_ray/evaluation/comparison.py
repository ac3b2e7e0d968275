"""Comparison of systems that were evaluated apart: joined predictions and paired differences."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mint_ray.common.files import write_text
from mint_ray.errors import DataError
from mint_ray.evaluation.answers import Answers, SystemAnswers
from mint_ray.evaluation.measurement import Measurement
from mint_ray.evaluation.metrics.compute import CLASS_COMPARED, COMPARED, compare
from mint_ray.evaluation.metrics.mcnemar import McNemar, mcnemar
from mint_ray.evaluation.predictions import PREDICTION_SCHEMA
from mint_ray.evaluation.results import MetricValue, has_classes, strata_of
from mint_ray.evaluation.systems import (
    Perturbation,
    SystemRun,
    in_order,
    is_control,
    split_variant,
)


@dataclass(frozen=True)
class Evaluated:
    """One finished evaluation: its predictions, and the cases that it tested."""

    predictions: pa.Table
    """Rows of `PREDICTION_SCHEMA`."""
    student: str
    """Name of the trained student in them."""
    cases: str
    """Name of the folder with the cases."""
    tested: int
    """Number of tested cases."""
    drawn: Mapping[str, Any]
    """Origin of the tested cases, as `SampledFrom` has it."""


@dataclass(frozen=True)
class SystemDifferences:
    """Paired differences of one system less the reference."""

    by_stratum: Mapping[str, Mapping[str, MetricValue]]
    """{stratum: {metric: value with its interval}}."""
    mcnemar: McNemar
    """Test of the first answers of all cases; the system is the first of both."""


@dataclass(frozen=True)
class SystemCost:
    """Cost of a trained system, with the trainings that it starts from."""

    steps: int
    """Optimizer steps."""
    training_seconds: float
    ranking_seconds: float | None
    """Seconds of the whole evaluation; None where that ranks other systems too."""


Differences = dict[str, SystemDifferences]
"""By name of the system, without the reference."""


def join_evaluations(
    evaluations: Mapping[str, Evaluated], tested: Sequence[str], free_cases: Sequence[str] = ()
) -> Answers:
    """Join the predictions of evaluations; each trained student gets the name of its evaluation.

    Args:
        evaluations: by name of the compared system.
        tested: ids of the tested cases.
        free_cases: ids of those that were also answered freely.

    Raises:
        DataError: two evaluations did not rank the same cases, or both have a system of one name.
    """
    _check_same_cases(evaluations, tested)
    systems: dict[str, dict[SystemRun, pa.Table]] = {}
    origin: dict[str, str] = {}
    for name, evaluated in evaluations.items():
        table = evaluated.predictions.select(PREDICTION_SCHEMA.names)
        for found in pc.unique(table["system"]).to_pylist():
            run = _run_of(found, evaluated.student, name)
            if origin.setdefault(run.system, name) != name:
                raise DataError(
                    f"expected every system once, but the evaluations of {origin[run.system]} and "
                    f"{name} both rank {run.system}; leave it out of one (evaluation.systems)"
                )
            rows = table.filter(pc.equal(table["system"], found))
            names = pa.array([run.name] * rows.num_rows, pa.string())
            renamed = rows.set_column(1, PREDICTION_SCHEMA.field("system"), names)
            systems.setdefault(run.system, {})[run] = renamed
    answers = {name: SystemAnswers(runs) for name, runs in systems.items()}
    return Answers(answers, student="", free_cases=frozenset(free_cases))


def _run_of(found: str, student: str, name: str) -> SystemRun:
    system, suffix = split_variant(found)
    free = suffix.endswith("_generated")
    changed = suffix.removesuffix("_generated").removeprefix("_")
    perturbation = Perturbation(changed) if changed else None
    return SystemRun(name if system == student else system, perturbation, free)


def _check_same_cases(evaluations: Mapping[str, Evaluated], tested: Sequence[str]) -> None:
    """Raise DataError, with both names, if two evaluations did not rank the same cases."""
    known = frozenset(tested)
    (first, wanted), *others = evaluations.items()
    for name, found in evaluations.items():
        extra = set(found.predictions["case_id"].to_pylist()) - known
        if extra:
            raise DataError(
                f"{name} ranked {len(extra)} cases that are not among the {len(known)} tested "
                f"ones of the comparison, for instance {min(extra)}; run it again with --force"
            )
    for name, found in others:
        if (found.cases, found.tested, found.drawn) != (wanted.cases, wanted.tested, wanted.drawn):
            raise DataError(
                f"expected systems that ranked the same cases, but {first} ranked {wanted.tested} "
                f"of {wanted.cases} ({dict(wanted.drawn)}) and {name} {found.tested} of "
                f"{found.cases} ({dict(found.drawn)})"
            )


def compared_systems(measurement: Measurement) -> list[str]:
    """Return the systems that were measured on all tested cases, in order, without controls."""
    return [
        name
        for name in in_order(measurement.outcomes)
        if not is_control(name) and len(measurement.outcomes[name].rank) == len(measurement.cases)
    ]


def differences_from(
    measurement: Measurement, reference: str, *, samples: int, seed: int
) -> Differences:
    """Compute the paired differences of every system less the reference, by stratum.

    Args:
        measurement: of all systems.
        reference: name of the system that the others are held against.
        samples: number of bootstrap resamples of groups.
        seed: of the resamples.

    Raises:
        DataError: the reference has no answers.
    """
    names = compared_systems(measurement)
    if reference not in names:
        raise DataError(
            f"compare.reference={reference}: expected a system with answers to the tested cases, "
            f"found answers of {', '.join(names) or 'none'}"
        )
    outcomes, cases = measurement.outcomes, measurement.cases
    metrics = CLASS_COMPARED if has_classes(measurement.metrics) else COMPARED
    return {
        name: SystemDifferences(
            by_stratum={
                stratum: {
                    difference.metric: MetricValue(
                        value=difference.interval.value,
                        low=difference.interval.low,
                        high=difference.interval.high,
                        n=difference.interval.n,
                    )
                    for difference in compare(
                        outcomes,
                        cases,
                        name,
                        reference,
                        samples=samples,
                        seed=seed,
                        metrics=metrics,
                        stratum=stratum,
                    )
                }
                for stratum in strata_of(measurement.metrics)
            },
            mcnemar=mcnemar(outcomes[name].correct, outcomes[reference].correct),
        )
        for name in names
        if name != reference
    }


def write_differences(path: Path, reference: str, differences: Differences) -> None:
    """Write `differences.json`; it appears whole or not at all.

    It holds `{reference, differences: {system: {stratum: {metric: {value, low, high, n}}}},
    mcnemar: {system: {only_system, only_reference, p_value}}}`.
    """
    tree = {
        "reference": reference,
        "differences": {name: item.by_stratum for name, item in differences.items()},
        "mcnemar": {
            name: {
                "only_system": item.mcnemar.only_first,
                "only_reference": item.mcnemar.only_second,
                "p_value": item.mcnemar.p_value,
            }
            for name, item in differences.items()
        },
    }
    write_text(path, json.dumps(tree, indent=1, allow_nan=False) + "\n")
