"""Proposal of the next trial, as a pure function of the trials so far.

A restart therefore proposes the same trial.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from mint_ray.config.tune import Choice, Dimension, TuneConfig, Value
from mint_ray.tuning.space import Choices

optuna.logging.set_verbosity(optuna.logging.ERROR)

Space = Mapping[str, Dimension]

_DRAWS = 50  # of a sampler, to find a legal configuration that was not tried
_RANDOM_DRAWS = 1000  # after these, if the combinations cannot be enumerated


@dataclass(frozen=True)
class Tried:
    """A trial as the search knows it, with values such that more is better.

    `value` is None until its end. `early` maps the steps of its rungs to the values there.
    """

    choices: Choices
    state: str
    value: float | None
    early: Mapping[int, float]


def propose(
    settings: TuneConfig,
    seed: int,
    tried: Sequence[Tried],
    is_legal: Callable[[Choices], bool] = lambda choices: True,
) -> Choices | None:
    """Return the searched settings of the next trial; None if nothing is left to try.

    Args:
        settings: settings of the campaign, with its search space.
        seed: seed of the search; together with the number of trials it decides every draw.
        tried: all trials so far, in order, the config's own first.
        is_legal: whether a run could have these choices.
    """
    known = [trial.choices for trial in tried]

    def is_new(choices: Choices) -> bool:
        return choices not in known and is_legal(choices)

    if settings.algorithm == "grid":
        return next(filter(is_new, grid(settings.space)), None)
    drawn = next(filter(is_new, _draws(settings, seed, tried)), None)
    # A sampler that has found its best values draws them again and again, and it does not know
    # which values are illegal.
    others = _combinations(settings.space) or _random_draws(settings.space, seed, len(tried))
    return drawn or next(filter(is_new, others), None)


def grid(space: Space) -> Iterator[Choices]:
    """Yield every combination of levels; the last setting changes fastest."""
    for values in product(*(dimension.levels for dimension in space.values())):
        yield dict(zip(space, values, strict=True))


def grid_size(space: Space) -> int | None:
    """Return the number of combinations; None if a setting is a range of real numbers."""
    values = _all_values(space)
    return None if values is None else math.prod(map(len, values))


def _combinations(space: Space) -> Iterator[Choices] | None:
    """Return all combinations of a finite space; None for an infinite one."""
    values = _all_values(space)
    if values is None:
        return None
    return (dict(zip(space, chosen, strict=True)) for chosen in product(*values))


def _all_values(space: Space) -> list[Sequence[Value]] | None:
    """Return all values of every setting; None if one is a range of real numbers."""
    values: list[Sequence[Value]] = []
    for dimension in space.values():
        if isinstance(dimension, Choice):
            values.append(dimension.values)
        elif dimension.whole:
            values.append(range(int(dimension.low), int(dimension.high) + 1))
        else:
            return None
    return values


def fits(space: Space, choices: Mapping[str, Any]) -> bool:
    """Return whether the choices lie in the space."""
    for name, dimension in space.items():
        value = choices[name]
        if isinstance(dimension, Choice):
            inside = value in dimension.values
        else:
            inside = dimension.low <= value <= dimension.high
        if not inside:
            return False
    return True


def distribution(dimension: Dimension) -> BaseDistribution:
    """Return Optuna's distribution of a dimension."""
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def frozen(space: Space, trial: Tried) -> FrozenTrial:
    """Return a trial as Optuna's `FrozenTrial`; a stopped one is `PRUNED` at its last rung."""
    state = {
        "finished": TrialState.COMPLETE,
        "stopped": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }.get(trial.state, TrialState.RUNNING)
    return create_trial(
        state=state,
        value=trial.value if state == TrialState.COMPLETE else None,
        params=dict(trial.choices),
        distributions={name: distribution(dimension) for name, dimension in space.items()},
        intermediate_values=dict(trial.early),
    )


def _draws(settings: TuneConfig, seed: int, tried: Sequence[Tried]) -> Iterator[Choices]:
    space = settings.space
    wanted = {name: distribution(dimension) for name, dimension in space.items()}
    usable = [frozen(space, trial) for trial in tried if fits(space, trial.choices)]
    for attempt in range(_DRAWS):
        state = np.random.SeedSequence([seed, len(tried), attempt]).generate_state(1)
        study = optuna.create_study(direction="maximize", sampler=_sampler(settings, int(state[0])))
        study.add_trials(usable)
        yield dict(study.ask(wanted).params)


def _random_draws(space: Space, seed: int, number: int) -> Iterator[Choices]:
    wanted = {name: distribution(dimension) for name, dimension in space.items()}
    state = np.random.SeedSequence([seed, number, _DRAWS]).generate_state(1)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=int(state[0])))
    for _ in range(_RANDOM_DRAWS):
        yield dict(study.ask(wanted).params)


def _sampler(settings: TuneConfig, seed: int) -> optuna.samplers.BaseSampler:
    if settings.algorithm == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=settings.startup_trials, multivariate=True
    )
