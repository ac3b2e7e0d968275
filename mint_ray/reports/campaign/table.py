"""A campaign's trials as a table: on the terminal, and as parquet."""

import math
from collections.abc import Sequence

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from mint_ray.evaluation.metrics.validation import MEASURED
from mint_ray.evaluation.results import METRICS as MEASURES
from mint_ray.evaluation.results import format_value
from mint_ray.tuning.results import Results, TrialResult, score
from mint_ray.tuning.space import shown

_LOG_WIDTH = 140


def in_order(results: Results) -> Sequence[TrialResult]:
    """Finished trials by the compared metric, best first; then the others by how far they got."""

    def order(one: TrialResult) -> tuple[bool, float, float]:
        value = score(results.measure, one.last.get(results.config.tune.metric))
        return one.trial.state != "finished", -one.last.get("step", 0.0), -value

    finished = [one for one in results.trials if one.trial.state == "finished"]
    best = sorted(finished, key=lambda one: -score(results.measure, one.final(results.measure)))
    return [*best, *sorted((o for o in results.trials if o not in best), key=order)]


def print_trials(results: Results, console: Console | None = None) -> None:
    """Print one row per trial, finished ones first."""
    console = console or Console(stderr=True, highlight=False)
    if not console.is_terminal:  # a log has no edge
        console.width = max(console.width, _LOG_WIDTH)
    table = Table(title=f"{len(results.trials)} trials", title_justify="left")
    names = [name.rpartition(".")[2] for name in results.config.tune.space]
    for name in ("trial", "state", "steps", *names):
        table.add_column(name, justify="right" if name != "state" else "left", no_wrap=True)
    measured = dict.fromkeys([results.measure, "mrr", "nll", "ece"])
    for name in measured:
        table.add_column(MEASURES[name].title, justify="right", no_wrap=True)
    table.add_column(results.cost_unit, justify="right", no_wrap=True)
    for one in in_order(results):
        trial = one.trial
        name = f"{trial.number}" + (" (own)" if trial.is_default else "")
        table.add_row(
            name,
            trial.state,
            f"{one.last.get('step', 0):.0f}/{one.planned}",
            *(shown(value) for value in trial.choices.values()),
            *(format_value(metric, one.last.get(f"validation/{metric}")) for metric in measured),
            f"{one.cost:.0f}",
            style="bold" if one is results.winner else None,
        )
    console.print(table)


def trials_table(results: Results) -> pa.Table:
    """One row per trial: what was tried, how far it got, what it measured and cost."""
    rows = []
    for one in results.trials:
        trial = one.trial
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state,
                "reason": trial.reason,
                "winner": one is results.winner,
                "pareto": trial.number in results.pareto,
                "attempts": trial.attempts,
                "steps": int(one.last.get("step", 0)),
                "planned_steps": one.planned,
                "spent_steps": one.spent,
                "seconds": trial.seconds,
                results.cost_unit.replace("-", "_").lower(): one.cost,
                **dict(trial.choices),
                **{f"override.{n}": shown(v) for n, v in trial.overrides.items()},
                **{f"validation/{n}": _number(one.last.get(f"validation/{n}")) for n in MEASURED},
            }
        )
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[object]) -> pa.Array:
    """A column of one type; settings that are words here and numbers there become words."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else str(value) for value in values])


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
