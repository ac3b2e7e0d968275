"""Contrasts of systems: weighted sums of their figures, with weights that sum to 0.

A mean over two trainings less that over two others is one. A crossover is another: how far the
difference between two systems changes with a condition, such as the noise of notes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mint_ray.evaluation.metrics.compute import CLASS_COMPARED, COMPARED, contrast
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes
from mint_ray.evaluation.results import MetricValue


@dataclass(frozen=True)
class Contrast:
    """Weighted sum of systems' figures on the same cases."""

    weights: Mapping[str, float]
    """By system."""
    strata: Mapping[str, Mapping[str, MetricValue]]
    """Value with its interval, by stratum that has a case and by metric."""


def contrasts_of(
    outcomes: Mapping[str, Outcomes],
    cases: EvaluatedCases,
    contrasts: Mapping[str, Mapping[str, float]],
    *,
    samples: int,
    seed: int,
    by_class: bool = False,
) -> dict[str, Contrast]:
    """Compute contrasts with paired intervals: each resample of groups is that of all systems.

    Args:
        outcomes: by system, from `collect_outcomes` on the same cases.
        cases: the evaluated cases.
        contrasts: weights of systems of `outcomes`, by name of the contrast.
        samples: number of bootstrap resamples of groups.
        seed: of the resamples.
        by_class: answers are few, so measure `CLASS_COMPARED` instead of `COMPARED`.
    """
    metrics = CLASS_COMPARED if by_class else COMPARED
    found = {}
    for name, weights in contrasts.items():
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
        found[name] = Contrast(dict(weights), strata)
    return found


def formula(weights: Mapping[str, float]) -> str:
    """Write a weighted sum of systems.

    >>> formula({"a": 1, "b": -1, "c": -1, "d": 1})
    'a − b − c + d'
    >>> formula({"a": 0.5, "a_2": 0.5, "b": -1})
    '0.5 a + 0.5 a_2 − b'
    """
    terms = [
        f"{'−' if weight < 0 else '+'} {'' if abs(weight) == 1 else f'{abs(weight):g} '}{system}"
        for system, weight in weights.items()
    ]
    return " ".join(terms).removeprefix("+ ")
