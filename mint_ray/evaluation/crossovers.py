"""Crossovers of four systems: how far one difference between systems changes with a condition.

With the order of retrieval and the quality of notes, for instance: questions first gain over
documents first where notes are noisy, and lose where they are clean.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mint_ray.evaluation.metrics.compute import CLASS_COMPARED, COMPARED, contrast
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes
from mint_ray.evaluation.results import MetricValue

Four = tuple[str, str, str, str]
"""Systems a, b, c and d of the crossover (a − b) − (c − d)."""


@dataclass(frozen=True)
class Crossover:
    """Difference of two differences, (a − b) − (c − d), on the same cases."""

    systems: Four
    strata: Mapping[str, Mapping[str, MetricValue]]
    """Value with its interval, by stratum that has a case and by metric."""


def crossovers_of(
    outcomes: Mapping[str, Outcomes],
    cases: EvaluatedCases,
    crossovers: Mapping[str, Four],
    *,
    samples: int,
    seed: int,
    by_class: bool = False,
) -> dict[str, Crossover]:
    """Compute crossovers with paired intervals: each resample of groups is that of all four.

    Args:
        outcomes: by system, from `collect_outcomes` on the same cases.
        cases: the evaluated cases.
        crossovers: four different systems of `outcomes`, by name of the crossover.
        samples: number of bootstrap resamples of groups.
        seed: of the resamples.
        by_class: answers are few, so measure `CLASS_COMPARED` instead of `COMPARED`.
    """
    metrics = CLASS_COMPARED if by_class else COMPARED
    found = {}
    for name, systems in crossovers.items():
        weights = dict(zip(systems, (1.0, -1.0, -1.0, 1.0), strict=True))
        strata: dict[str, dict[str, MetricValue]] = {}
        for stratum, inside in cases.strata.items():
            if not inside.any():
                continue
            intervals = contrast(
                outcomes,
                cases,
                weights,
                samples=samples,
                seed=seed,
                metrics=metrics,
                stratum=stratum,
            )
            strata[stratum] = {metric: item.as_value() for metric, item in intervals.items()}
        found[name] = Crossover(systems, strata)
    return found
