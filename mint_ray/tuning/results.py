"""Results of a campaign: winner, distance to the default, importance of settings, cost."""

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
"""Final metrics of the Pareto front: no other trial is as good in all and better in one of them."""

_LEAST_FOR_IMPORTANCE = 4  # trials; fewer say nothing about the importance of settings


@dataclass(frozen=True)
class TrialResult:
    """One trial as the report shows it.

    `rungs` end with the last validation that it reached. `spent` and `planned` are optimizer steps;
    `cost` is in `Results.cost_unit`.
    """

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
        """Return a validation metric at the end of the trial; None if it did not finish."""
        return self.last.get(f"validation/{name}") if self.trial.state == "finished" else None


@dataclass(frozen=True)
class Results:
    """Everything that the table and the report of a campaign show."""

    config: Config
    trials: Sequence[TrialResult]
    winner: TrialResult | None
    differences: Mapping[str, Interval]
    """Winner minus default by metric, paired over the validation cases; empty if both are one
    trial."""
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
        return {word: sum(result.trial.state == word for result in self.trials) for word in words}

    @property
    def spent(self) -> int:
        """Optimizer steps of all trials."""
        return sum(result.spent for result in self.trials)

    @property
    def planned(self) -> int:
        """Optimizer steps if every trial had run to its end."""
        return sum(result.planned for result in self.trials)

    @property
    def remarks(self) -> list[str]:
        """Remarks on the space (see `space.remarks`), and on ranges with the winner at an edge."""
        return [*remarks(self.config), *_edges(self)]

    @property
    def recommendation(self) -> str:
        """Recommendation in words."""
        return _recommend(self)

    @property
    def summary(self) -> str:
        """Budget and recommendation, in two lines."""
        share = f"{self.spent / self.planned:.0%}" if self.planned else "none"
        late = sum(result.trial.reason.endswith(OUT_OF_TIME) for result in self.trials)
        by_time = f", {late} of them by the time budget" if late else ""
        text = (
            f"{self.spent:,} optimizer steps spent of {self.planned:,} for all trials to the end "
            f"({share}); {self.states['stopped']} of {len(self.trials)} stopped early{by_time}\n"
            f"{self.recommendation}"
        )
        if late:
            text += "\nWith more time (tune.time_budget_minutes) it starts anew: --force."
        return text

    def figures(self) -> dict[str, float]:
        """Return the numbers for the run's record, by name."""
        figures = {f"trials.{state}": float(n) for state, n in self.states.items()}
        figures |= {"steps.spent": float(self.spent), "steps.all_to_the_end": float(self.planned)}
        for name, difference in self.differences.items():
            figures |= {f"gain.{name}": difference.value, f"gain.{name}.low": difference.low}
            figures[f"gain.{name}.high"] = difference.high
        return figures


def read_results(config: Config, trials: Sequence[Trial]) -> Results:
    """Read the results of a campaign from its trials' files."""
    results = [_result(config, trial) for trial in trials]
    planned = max((result.planned for result in results), default=0)
    results = [result if result.planned else _with_planned(result, planned) for result in results]
    winner = _winner(config, results)
    validated = _validated(winner) if winner else None
    return Results(
        config=config,
        trials=results,
        winner=winner,
        differences=_differences(config, winner, results[0]) if winner else {},
        pareto=_pareto(results),
        importance=importance(config, results),
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


def _with_planned(result: TrialResult, planned: int) -> TrialResult:
    """Return a trial that never took a step, with as many planned steps as the others."""
    return TrialResult(result.trial, result.rungs, result.curve, result.spent, planned, result.cost)


def _winner(config: Config, results: Sequence[TrialResult]) -> TrialResult | None:
    measure = config.tune.metric.removeprefix("validation/")
    finished = [result for result in results if result.trial.state == "finished" and result.rungs]

    def order(result: TrialResult) -> tuple[float, int]:
        return score(measure, result.final(measure)), -result.trial.number

    return max(finished, key=order, default=None)


def score(measure: str, value: float | None) -> float:
    """Return a metric, signed so that more is better; -inf if it is missing or not finite."""
    if value is None or not math.isfinite(value):
        return -math.inf
    return value if MEASURES[measure].higher_is_better else -value


def _validated(result: TrialResult) -> pa.Table:
    return pq.read_table(validated_file(result.trial.folder, int(result.last["step"])))


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


def _pareto(results: Sequence[TrialResult]) -> frozenset[int]:
    """Return the numbers of the finished trials that no other trial dominates in `PARETO`."""
    points = {
        result.trial.number: [score(name, result.final(name)) for name in PARETO]
        for result in results
        if result.trial.state == "finished" and result.rungs
    }

    def is_dominated(point: list[float]) -> bool:
        return any(
            other != point and all(a >= b for a, b in zip(other, point, strict=True))
            for other in points.values()
        )

    return frozenset(number for number, point in points.items() if not is_dominated(point))


def importance(config: Config, results: Sequence[TrialResult]) -> dict[str, float]:
    """Return each setting's share in the variance of the metric at the first rung.

    Computed by Optuna's fANOVA. All trials reached the first rung, so it compares like with like;
    final metrics are known of survivors only. Empty if there are too few trials, or if all have the
    same metric.
    """
    space, name = config.tune.space, config.tune.metric
    measure = name.removeprefix("validation/")
    study = optuna.create_study(direction="maximize")
    for result in results:
        value = score(measure, result.rungs[0].get(name)) if result.rungs else -math.inf
        if math.isfinite(value) and fits(space, result.trial.choices):
            tried = Tried(dict(result.trial.choices), "finished", value, {})
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
    """Return remarks on searched ranges with the winner within a twentieth of an end."""
    if results.winner is None:
        return []
    lines = []
    for name, dimension in results.config.tune.space.items():
        value = results.winner.trial.choices[name]
        if isinstance(dimension, Choice) or isinstance(value, str):
            continue
        low, high, x = dimension.low, dimension.high, float(value)
        if dimension.log and x > 0:
            low, high, x = math.log(low), math.log(high), math.log(x)
        position = (x - low) / (high - low)
        if not 0.05 <= position <= 0.95:
            end = "low" if position < 0.5 else "high"
            lines.append(f"the winner's {name} lies at the {end} end of its range; widen it")
    return lines


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
