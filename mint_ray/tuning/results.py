"""What a campaign taught: winner, distance to the default, what mattered, what it cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.config.config import Config
from mint_ray.config.tune import Choice
from mint_ray.evaluation.metrics.bootstrap import Interval
from mint_ray.evaluation.metrics.validation import paired_differences, validated_file
from mint_ray.evaluation.results import METRICS as MEASURES
from mint_ray.tuning.search import Tried, fits, frozen
from mint_ray.tuning.space import remarks, shown
from mint_ray.tuning.trials import OUT_OF_TIME, Row, Trial

PARETO = ("mrr", "nll", "ece")
"""Final metrics that no trial of the Pareto front can better without losing another."""

_LEAST_FOR_IMPORTANCE = 4  # trials; fewer say nothing about what matters


@dataclass(frozen=True)
class TrialResult:
    """One trial as the report shows it; `rungs` end with the last validation that it reached."""

    trial: Trial
    rungs: Sequence[Row]
    curve: Sequence[Row]
    spent: int
    planned: int
    cost: float

    @property
    def last(self) -> Row:
        """Metrics of the last rung; empty if none was reached."""
        return self.rungs[-1] if self.rungs else {}

    def final(self, name: str) -> float | None:
        """A validation metric at the end; None where the trial did not get there."""
        return self.last.get(f"validation/{name}") if self.trial.state == "finished" else None


@dataclass(frozen=True)
class Results:
    """Everything that table and report show."""

    config: Config
    trials: Sequence[TrialResult]
    winner: TrialResult | None
    differences: Mapping[str, Interval]
    """Winner less default, paired over the validation cases, by metric; empty if they are one."""
    pareto: frozenset[int]
    importance: Mapping[str, float]
    groups: int
    cases: int
    cost_unit: str

    @property
    def measure(self) -> str:
        """The compared metric, without `validation/`."""
        return self.config.tune.metric.removeprefix("validation/")

    @property
    def default(self) -> TrialResult | None:
        """The config's own configuration."""
        return self.trials[0] if self.trials else None

    @property
    def states(self) -> dict[str, int]:
        """Number of trials by state."""
        words = ("finished", "stopped", "failed", "running")
        return {word: sum(one.trial.state == word for one in self.trials) for word in words}

    @property
    def spent(self) -> int:
        """Optimizer steps of all trials."""
        return sum(one.spent for one in self.trials)

    @property
    def planned(self) -> int:
        """Optimizer steps if every trial had run to its end."""
        return sum(one.planned for one in self.trials)

    @property
    def remarks(self) -> list[str]:
        """What to keep in mind; see `space.remarks`, and where the best lies on an edge."""
        return [*remarks(self.config), *_edges(self)]

    @property
    def recommendation(self) -> str:
        """What to do, in words."""
        return _recommend(self)

    @property
    def summary(self) -> str:
        """Budget and recommendation, in two lines."""
        share = f"{self.spent / self.planned:.0%}" if self.planned else "none"
        late = sum(one.trial.reason.endswith(OUT_OF_TIME) for one in self.trials)
        by_time = f", {late} of them by the time budget" if late else ""
        told = (
            f"{self.spent:,} optimizer steps spent of {self.planned:,} for all trials to the end "
            f"({share}); {self.states['stopped']} of {len(self.trials)} stopped early{by_time}\n"
            f"{self.recommendation}"
        )
        if late:
            told += "\nWith more time (tune.time_budget_minutes) it starts anew: --force."
        return told

    def figures(self) -> dict[str, float]:
        """Numbers for the run's record."""
        found = {f"trials.{state}": float(n) for state, n in self.states.items()}
        found |= {"steps.spent": float(self.spent), "steps.all_to_the_end": float(self.planned)}
        for name, gap in self.differences.items():
            found |= {f"gain.{name}": gap.value, f"gain.{name}.low": gap.low}
            found[f"gain.{name}.high"] = gap.high
        return found


def read_results(config: Config, trials: Sequence[Trial]) -> Results:
    """Put the trials' files together."""
    found = [_result(config, trial) for trial in trials]
    planned = max((one.planned for one in found), default=0)
    found = [one if one.planned else _with_planned(one, planned) for one in found]
    winner = _winner(config, found)
    validated = _validated(winner) if winner else None
    return Results(
        config=config,
        trials=found,
        winner=winner,
        differences=_differences(config, winner, found[0]) if winner else {},
        pareto=_pareto(found),
        importance=importance(config, found),
        groups=len(set(validated["group_id"].to_pylist())) if validated else 0,
        cases=validated.num_rows if validated else 0,
        cost_unit="GPU-seconds" if config.resources.gpus_per_worker else "CPU-seconds",
    )


def _result(config: Config, trial: Trial) -> TrialResult:
    curve, resources = trial.steps(), config.resources
    workers = resources.train_workers
    each = resources.gpus_per_worker or resources.cpus_per_worker
    most = workers if isinstance(workers, int) else workers[1]
    return TrialResult(
        trial=trial,
        rungs=trial.rungs(),
        curve=curve,
        spent=trial.spent(),
        planned=int(curve[-1]["steps"]) if curve else 0,
        cost=trial.seconds * most * each,
    )


def _with_planned(one: TrialResult, planned: int) -> TrialResult:
    """A trial that never took a step would have taken as many as the others."""
    return TrialResult(one.trial, one.rungs, one.curve, one.spent, planned, one.cost)


def _winner(config: Config, found: Sequence[TrialResult]) -> TrialResult | None:
    measure = config.tune.metric.removeprefix("validation/")
    finished = [one for one in found if one.trial.state == "finished" and one.rungs]

    def order(one: TrialResult) -> tuple[float, int]:
        return score(measure, one.final(measure)), -one.trial.number

    return max(finished, key=order, default=None)


def score(measure: str, value: float | None) -> float:
    """A metric such that more is better; what is no number is worst."""
    if value is None or not math.isfinite(value):
        return -math.inf
    return value if MEASURES[measure].higher_is_better else -value


def _validated(one: TrialResult) -> pa.Table:
    return pq.read_table(validated_file(one.trial.folder, int(one.last["step"])))


def _differences(config: Config, winner: TrialResult, default: TrialResult) -> dict[str, Interval]:
    if winner is default or default.trial.state != "finished":
        return {}
    settings = config.evaluation
    return paired_differences(
        _validated(winner),
        _validated(default),
        bins=settings.calibration_bins,
        samples=settings.bootstrap_samples,
        seed=config.seed,
    )


def _pareto(found: Sequence[TrialResult]) -> frozenset[int]:
    """Finished trials to which no other one is as good in all of `PARETO` and better in one."""
    points = {
        one.trial.number: [score(name, one.final(name)) for name in PARETO]
        for one in found
        if one.trial.state == "finished" and one.rungs
    }

    def beaten(own: list[float]) -> bool:
        return any(
            other != own and all(a >= b for a, b in zip(other, own, strict=True))
            for other in points.values()
        )

    return frozenset(number for number, point in points.items() if not beaten(point))


def importance(config: Config, found: Sequence[TrialResult]) -> dict[str, float]:
    """Share of each setting in the variance of the metric at the first rung, by Optuna's fANOVA.

    All trials reached the first rung, so like is compared with like; the ends are known of
    survivors only. Empty where there is too little to tell.
    """
    space, name = config.tune.space, config.tune.metric
    measure = name.removeprefix("validation/")
    study = optuna.create_study(direction="maximize")
    for one in found:
        value = score(measure, one.rungs[0].get(name)) if one.rungs else -math.inf
        if math.isfinite(value) and fits(space, one.trial.choices):
            tried = Tried(dict(one.trial.choices), "finished", value, {})
            study.add_trial(frozen(space, tried))
    values = {trial.value for trial in study.trials}
    if len(study.trials) < _LEAST_FOR_IMPORTANCE or len(values) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    try:
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (RuntimeError, ValueError):  # a setting that never varied
        return {}
    return {name: float(share) for name, share in shares.items()}


def _edges(results: Results) -> list[str]:
    """Searched ranges in which the best trial is the last but a twentieth from an end."""
    if results.winner is None:
        return []
    told = []
    for name, dimension in results.config.tune.space.items():
        value = results.winner.trial.choices[name]
        if isinstance(dimension, Choice) or isinstance(value, str):
            continue
        low, high, at = dimension.low, dimension.high, float(value)
        if dimension.log and at > 0:
            low, high, at = math.log(low), math.log(high), math.log(at)
        place = (at - low) / (high - low)
        if not 0.05 <= place <= 0.95:
            end = "low" if place < 0.5 else "high"
            told.append(f"the winner's {name} lies at the {end} end of its range; widen it")
    return told


def _recommend(results: Results) -> str:
    winner, name = results.winner, results.measure
    if winner is None:
        return "No trial was finished, so there is nothing to recommend."
    title, tried = MEASURES[name].title, len(results.trials)
    if winner.trial.is_default:
        return (
            f"Keep the config's own configuration: of {tried} that were tried, none ended above "
            f"it in {title} on {results.cases} validation cases."
        )
    changed = ", ".join(f"{n}={shown(v)}" for n, v in winner.trial.overrides.items())
    gap = results.differences.get(name)
    if gap is None:
        return f"Use {changed}; the config's own configuration has no end to compare with."
    better = gap.low > 0 if MEASURES[name].higher_is_better else gap.high < 0
    interval = f"{gap.value:+.3f} {title} (95% interval {gap.low:+.3f} to {gap.high:+.3f})"
    on = f"on {results.cases} validation cases of {results.groups} groups"
    if better:
        return (
            f"Use {changed}: {interval} against the config's own configuration, {on}. The winner "
            "was chosen on these cases, which flatters it; confirm it on the test cases."
        )
    return (
        f"Best was {changed}: {interval} against the config's own configuration, {on}. The "
        "interval holds zero, so it is not shown to be better: keep the configuration as it is, or "
        "try again with more validation cases."
    )
