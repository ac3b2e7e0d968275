"""Tables of a campaign's trials, for the terminal and for parquet."""

import math
from collections.abc import Sequence
from typing import Literal

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
_BETWEEN = 3
"""Characters between two columns: a space on both sides of a line."""


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
    """Print one row per trial, finished ones first.

    A table that is too wide for the terminal becomes several, each with the trials' numbers.
    """
    console = console or Console(stderr=True, highlight=False)
    if not console.is_terminal:  # a log has no width; rich would assume 80 and cut columns
        console.width = max(console.width, _LOG_WIDTH)
    validated = sampled_from(results.config, "validation").describe()
    title: str | None = f"{len(results.trials)} trials; {validated}"
    settings = [name.rpartition(".")[2] for name in results.config.tune.space]
    measured = tuple(dict.fromkeys([results.measure, "mrr", "nll", "ece"]))
    titles = [MEASURES[name].title for name in measured]
    heads = ["trial", "state", "steps", *settings, *titles, results.cost_unit]
    ordered = in_order(results)
    rows = [_row(result, measured) for result in ordered]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for part in _parts(widths, console.width):
        table = Table(title=title, title_justify="left")
        title = None
        for index in part:
            side: Literal["left", "right"] = "left" if heads[index] == "state" else "right"
            table.add_column(heads[index], justify=side, no_wrap=True)
        for result, row in zip(ordered, rows, strict=True):
            style = "bold" if result is results.winner else None
            table.add_row(*(row[index] for index in part), style=style)
        console.print(table)


def _row(result: TrialResult, measured: Sequence[str]) -> list[str]:
    trial = result.trial
    return [
        f"{trial.number}" + (" (own)" if trial.is_default else ""),
        trial.state,
        f"{result.last.get('step', 0):.0f}/{result.planned}",
        *(shown(value) for value in trial.choices.values()),
        *(format_value(name, result.last.get(f"validation/{name}")) for name in measured),
        f"{result.cost:.0f}",
    ]


def _parts(widths: Sequence[int], room: int) -> list[list[int]]:
    """Divide columns among tables that fit, each of which begins with the first column.

    Args:
        widths: characters of the columns.
        room: characters of a line.
    """
    parts, used = [[0]], 1 + widths[0] + _BETWEEN
    for index, width in enumerate(widths[1:], 1):
        if used + width + _BETWEEN > room and len(parts[-1]) > 1:
            parts.append([0])
            used = 1 + widths[0] + _BETWEEN
        parts[-1].append(index)
        used += width + _BETWEEN
    return parts


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
