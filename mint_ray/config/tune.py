"""Settings of a tuning campaign: search space, search, stopping and budget."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from mint_ray.config.base import Fraction, Section, Word
from mint_ray.config.former_names import FORMER_NAMES

Value = bool | int | float | str

SEARCHED = ("training", "student", "preferences")
"""Sections whose settings may be searched, beside `seed`."""
NOT_SEARCHED = ("student.init_adapter", "training.checkpoint_steps")


class Choice(Section):
    """A choice among values."""

    kind: Literal["choice"]
    """A choice among `values`."""
    values: tuple[Value, ...] = Field(min_length=1)
    """Values to try, all different."""

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values that must be legal for all to be."""
        return self.values

    @property
    def levels(self) -> tuple[Value, ...]:
        """Values of a grid."""
        return self.values

    @model_validator(mode="after")
    def _distinct(self) -> "Choice":
        if len({(type(value), value) for value in self.values}) < len(self.values):
            raise ValueError(f"expected distinct values, found {list(self.values)}")
        return self


class Range(Section):
    """Numbers between two ends, which are included."""

    kind: Literal["uniform", "loguniform", "int", "logint"]
    """`uniform` and `int` draw numbers evenly, `loguniform` and `logint` evenly in the logarithm.
    `int` and `logint` draw whole numbers."""
    low: float
    """Smallest number, included. Above 0 for `loguniform` and `logint`."""
    high: float
    """Largest number, included."""
    grid: int = Field(3, ge=2)
    """Number of values for `tune.algorithm: grid`, spread evenly from `low` to `high`."""

    @property
    def whole(self) -> bool:
        """True if only whole numbers are drawn."""
        return self.kind in ("int", "logint")

    @property
    def log(self) -> bool:
        """True if numbers are drawn evenly in the logarithm."""
        return self.kind in ("loguniform", "logint")

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values that must be legal for all to be."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    @property
    def levels(self) -> tuple[Value, ...]:
        """Values of a grid."""
        ends = [math.log(end) if self.log else end for end in (self.low, self.high)]
        steps = [ends[0] + (ends[1] - ends[0]) * i / (self.grid - 1) for i in range(self.grid)]
        values = [math.exp(step) if self.log else step for step in steps]
        if self.whole:
            return tuple(dict.fromkeys(round(value) for value in values))
        return (self.low, *(float(f"{value:.6g}") for value in values[1:-1]), self.high)

    @model_validator(mode="after")
    def _in_order(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"expected low below high, found {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"{self.kind} needs low above 0, found {self.low:g}")
        if self.whole and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"{self.kind} needs whole ends, found {self.low:g} and {self.high:g}")
        return self


Dimension = Annotated[Choice | Range, Field(discriminator="kind")]


def _dotted(space: Any) -> Any:
    """Flatten nested sections to dotted names, so that both ways to write a space mean the same.

    `tune.space.training.orpo_lambda={...}` on the command line arrives nested. Former names of
    settings become today's names.
    """
    if not isinstance(space, Mapping):
        return space
    flat: dict[str, Any] = {}
    for name, item in space.items():
        nested = isinstance(item, Mapping) and "kind" not in item and item
        if nested:
            flat |= {f"{name}.{leaf}": value for leaf, value in _dotted(item).items()}
        else:
            flat[name] = item
    return {FORMER_NAMES.get(name, name): item for name, item in flat.items()}


class TuneConfig(Section):
    """A campaign of training runs (`mint tune`)."""

    space: Annotated[dict[str, Dimension], BeforeValidator(_dotted)] = Field(
        {
            "training.orpo_lambda": Range(kind="loguniform", low=0.01, high=1.0),
            "student.lora_rank": Choice(kind="choice", values=(4, 8, 16, 32, 64)),
        }
    )
    """Searched settings by dotted name: settings in `training`, `student` or `preferences` (choices
    only), or `seed` of the training. Each has its values: `{kind: choice, values: [...]}`, or
    `{kind: uniform | loguniform | int | logint, low: , high: }`."""
    algorithm: Literal["optuna", "random", "grid"] = "optuna"
    """Choice of the next trial: by Optuna's TPE, at random, or every combination in turn."""
    startup_trials: int = Field(4, ge=1)
    """Number of random trials before TPE starts to model."""
    scheduler: Annotated[Literal["asha", "median", "none"], Word] = "asha"
    """Rule that stops trials at a rung. `asha` stops trials that are not among the best
    1 / `reduction_factor` that reached the rung, `median` those below the median of the others.
    `none` stops no trial."""
    trials: int | None = Field(12, ge=2)
    """Number of configurations to try, the config's own included. Empty for a whole grid."""
    time_budget_minutes: float | None = Field(None, gt=0)
    """Minutes, over all restarts, after which no trial starts and running trials stop at their next
    rung. Only the config's own configuration still runs to its end. Empty for no limit."""
    metric: str = "validation/mrr"
    """Metric that trials are compared by: `validation/` followed by `mrr`, `top1`, `top3`, `top10`,
    `nll`, `ece` or `brier`."""
    first_rung: Fraction = Field(0.12, gt=0, le=1)
    """Share of a trial's optimizer steps at which the first rung is, before which it is not
    stopped."""
    reduction_factor: int = Field(3, ge=2)
    """Factor between the steps of a rung and those of the next one; see also `scheduler`."""
    median_trials: int = Field(3, ge=1)
    """Smallest number of other trials at a rung with which the median rule may stop a trial."""
    validation_cases: int = Field(64, ge=1)
    """Largest number of validation cases that are ranked at a rung, drawn from random groups so
    that the shares of seen and unseen labels stay."""
    scale_alpha: bool = True
    """Let a search of the rank scale updates by alpha / sqrt(rank) (rsLoRA), with an alpha
    under which the config's own rank keeps its scale. Otherwise `student.lora_alpha` and `rslora`
    stay as they are. Search the learning rate too if its effect must not be confused with the
    rank's."""
    search_seed: int | None = Field(None, ge=0)
    """Seed of the search. Empty for the seed of the run."""
    max_concurrent_trials: int | None = Field(None, ge=1)
    """Largest number of trials at a time. Empty for as many as the cluster has room for."""
    max_trial_failures: int = Field(3, ge=0)
    """Largest number of failed trials; the campaign gives up when more fail."""

    @model_validator(mode="after")
    def _known_metric(self) -> "TuneConfig":
        known = ("mrr", "top1", "top3", "top10", "nll", "ece", "brier")
        if self.metric not in [f"validation/{name}" for name in known]:
            raise ValueError(
                f"tune.metric={self.metric}: expected validation/ and one of {', '.join(known)}"
            )
        return self

    @model_validator(mode="after")
    def _space_is_legal(self) -> "TuneConfig":
        if not self.space:
            raise ValueError("tune.space: expected at least one setting, found none")
        for name, dimension in self.space.items():
            section = name.partition(".")[0]
            if name in NOT_SEARCHED or (section not in SEARCHED and name != "seed"):
                raise ValueError(
                    f"tune.space: {name} cannot be searched; expected settings of "
                    f"{', '.join(SEARCHED)} (not {', '.join(NOT_SEARCHED)}), or seed"
                )
            if section == "preferences" and not isinstance(dimension, Choice):
                raise ValueError(
                    f"tune.space.{name}: expected kind choice, found {dimension.kind}; each value "
                    "needs preference pairs of its own, which are made before the campaign"
                )
        if self.trials is None and self.algorithm != "grid":
            raise ValueError(
                f"tune.trials is empty: expected a number for tune.algorithm={self.algorithm}"
            )
        return self
