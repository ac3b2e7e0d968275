"""Tables of a campaign's trials, for the terminal and for parquet."""

import math
from collections.abc import Sequence

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from mint_ray.evaluation.case_sample import sampled_from
from mint_ray.evaluation.metrics.validation import MEASURED
from mint_ray.evaluation.results import METRICS as MEASURES
from mint_ray.evaluation.results import format_value
from mint_ray.tuning.results import Results, TrialResult, score
from mint_ray.tuning.space import shown

_LOG_WIDTH = 140


def in_order(results: Results) -> Sequence[TrialResult]:
    """Return finished trials by the compared metric, best first, then the others by steps."""

    def order(result: TrialResult) -> tuple[bool, float, float]:
        value = score(results.measure, result.last.get(results.config.tune.metric))
        return result.trial.state != "finished", -result.last.get("step", 0.0), -value

    finished = [result for result in results.trials if result.trial.state == "finished"]
    best = sorted(
        finished, key=lambda result: -score(results.measure, result.final(results.measure))
    )
    return [*best, *sorted((r for r in results.trials if r not in best), key=order)]


def print_trials(results: Results, console: Console | None = None) -> None:
    """Print one row per trial, finished ones first."""
    console = console or Console(stderr=True, highlight=False)
    if not console.is_terminal:  # a log has no width; rich would assume 80 and cut columns
        console.width = max(console.width, _LOG_WIDTH)
    validated = sampled_from(results.config, "validation").describe()
    table = Table(title=f"{len(results.trials)} trials; {validated}", title_justify="left")
    names = [name.rpartition(".")[2] for name in results.config.tune.space]
    for name in ("trial", "state", "steps", *names):
        table.add_column(name, justify="right" if name != "state" else "left", no_wrap=True)
    measured = dict.fromkeys([results.measure, "mrr", "nll", "ece"])
    for name in measured:
        table.add_column(MEASURES[name].title, justify="right", no_wrap=True)
    table.add_column(results.cost_unit, justify="right", no_wrap=True)
    for result in in_order(results):
        trial = result.trial
        name = f"{trial.number}" + (" (own)" if trial.is_default else "")
        table.add_row(
            name,
            trial.state,
            f"{result.last.get('step', 0):.0f}/{result.planned}",
            *(shown(value) for value in trial.choices.values()),
            *(format_value(metric, result.last.get(f"validation/{metric}")) for metric in measured),
            f"{result.cost:.0f}",
            style="bold" if result is results.winner else None,
        )
    console.print(table)


def trials_table(results: Results) -> pa.Table:
    """Return one row per trial: its settings, state, steps, metrics and cost."""
    rows = []
    for result in results.trials:
        trial = result.trial
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state,
                "reason": trial.reason,
                "winner": result is results.winner,
                "pareto": trial.number in results.pareto,
                "attempts": trial.attempts,
                "steps": int(result.last.get("step", 0)),
                "planned_steps": result.planned,
                "spent_steps": result.spent,
                "seconds": trial.seconds,
                results.cost_unit.replace("-", "_").lower(): result.cost,
                **dict(trial.choices),
                **{f"override.{n}": shown(v) for n, v in trial.overrides.items()},
                **{
                    f"validation/{n}": _number(result.last.get(f"validation/{n}")) for n in MEASURED
                },
            }
        )
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[object]) -> pa.Array:
    """Return a column of one type; values without a common type all become strings."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else str(value) for value in values])


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
