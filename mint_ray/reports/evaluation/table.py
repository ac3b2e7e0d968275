"""Comparison table of systems, for the terminal and as plain text."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mint_ray.evaluation.results import (
    ANSWERED_FREELY,
    METRICS,
    Metrics,
    MetricValue,
    format_value,
    has_classes,
    has_ranks_only,
    stratum_size,
    stratum_title,
    system_size,
)
from mint_ray.evaluation.systems import SystemRun, in_order, system_title

COLUMNS: tuple[str, ...] = ("top1_macro", "top3_macro", "top10_macro", "top1", "nll", "ece")
MICRO_COLUMNS: tuple[str, ...] = ("top1", "top3", "top10", "mrr", "nll", "ece")
"""Columns of files from before there were macro metrics."""
CLASS_COLUMNS: tuple[str, ...] = ("top1", "balanced_accuracy", "macro_f1", "top3", "nll", "ece")
"""Columns for catalogues with few answers, which are also measured one by one."""
FREE_COLUMNS: tuple[str, ...] = (
    *("hallucination_free", "top1_lenient", "top10_lenient"),
    *("top1", "top10"),
)
"""Columns of rankings beside freely generated answers: the paper's metrics, then those by id."""
_WIDTH_WITH_INTERVALS = 112
_LEAST_NAME = 16
_PADDING = 2


def print_table(
    metrics: Metrics,
    stratum: str = "all",
    console: Console | None = None,
    student: str | None = None,
    columns: Sequence[str] | None = None,
) -> None:
    """Print the comparison: a drawn table on a terminal, plain lines elsewhere.

    Intervals are left out on a terminal that is too narrow for them. The row of the trained
    `student` is highlighted. The metrics are those of `columns_of` unless `columns` names others.
    """
    console = console or Console()
    if not console.is_terminal:
        console.out(plain_table(metrics, stratum, columns), highlight=False)
        return
    wide = console.width >= _WIDTH_WITH_INTERVALS
    title: str | None = caption(metrics, stratum, intervals=wide)
    for part in _parts(metrics, stratum, columns or columns_of(metrics), console.width, wide):
        table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
        title = None
        names, *heads = header(part)
        table.add_column(names, overflow="fold")
        for head, width in zip(heads, _widths(metrics, stratum, part, wide), strict=True):
            table.add_column(head, justify="right", no_wrap=True, min_width=width)
        for system in in_order(metrics):
            values = metrics[system].get(stratum, {})
            cells = [_drawn_cell(name, values.get(name), wide) for name in part]
            style = "bold green" if system == student else ""
            table.add_row(_row_title(metrics, system, stratum), *cells, style=style)
        console.print(table)


def print_free_answers(
    metrics: Metrics, console: Console | None = None, student: str | None = None
) -> None:
    """Print the systems that also answered freely: ranked and generated, on the same cases.

    Prints nothing where no system did.
    """
    generated = {system: SystemRun(system, free=True).name for system in metrics}
    shown = [name for pair in generated.items() if pair[1] in metrics for name in pair]
    if not shown:
        return
    both = {name: metrics[name] for name in shown}
    stratum = ANSWERED_FREELY if ANSWERED_FREELY in both[shown[0]] else "all"
    print_table(both, stratum, console, student, FREE_COLUMNS)


def _parts(
    metrics: Metrics, stratum: str, columns: Sequence[str], width: int, intervals: bool
) -> list[tuple[str, ...]]:
    """Divide the columns among tables that fit the terminal, so that no number is cut.

    Names of systems may take several lines, and have at least `_LEAST_NAME` characters.
    """
    longest = max(len(_row_title(metrics, system, stratum)) for system in metrics)
    room = width - min(longest, _LEAST_NAME) - 2 * _PADDING
    parts: list[tuple[str, ...]] = [()]
    left = room
    for name, wanted in zip(columns, _widths(metrics, stratum, columns, intervals), strict=True):
        if wanted + _PADDING > left and parts[-1]:
            parts.append(())
            left = room
        parts[-1] += (name,)
        left -= wanted + _PADDING
    return parts


def _widths(metrics: Metrics, stratum: str, columns: Sequence[str], intervals: bool) -> list[int]:
    """Return the width of each column, in characters: of its title, or of its longest line."""
    cells = [
        [
            _drawn_cell(name, metrics[system].get(stratum, {}).get(name), intervals)
            for name in columns
        ]
        for system in metrics
    ]
    return [
        max(
            len(column_title(name)),
            *(len(line) for row in cells for line in row[index].plain.split("\n")),
        )
        for index, name in enumerate(columns)
    ]


def plain_table(
    metrics: Metrics, stratum: str = "all", columns: Sequence[str] | None = None
) -> str:
    """Return the comparison in aligned columns without colour or frame, for logs and pipes."""
    columns = columns or columns_of(metrics)
    rows = [header(columns), *rows_of(metrics, stratum, columns)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = [caption(metrics, stratum)]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def columns_of(metrics: Metrics) -> tuple[str, ...]:
    """Return the metrics of the table.

    They are `CLASS_COLUMNS` if they were measured, else `COLUMNS`, or `MICRO_COLUMNS`.
    """
    if has_classes(metrics):
        return CLASS_COLUMNS
    measured = {n for strata in metrics.values() for named in strata.values() for n in named}
    return COLUMNS if COLUMNS[0] in measured else MICRO_COLUMNS


def caption(metrics: Metrics, stratum: str, intervals: bool = True) -> str:
    """Return the caption: the stratum and its number of cases."""
    count = f"{stratum_size(metrics, stratum):,}"
    tail = "; 95% intervals in brackets" if intervals else ""
    return f"{stratum_title(metrics, stratum)}, n = {count}{tail}"


def _row_title(metrics: Metrics, system: str, stratum: str) -> str:
    """Return the system's title, with `ranks only` and the number of cases if that is smaller."""
    size = system_size(metrics, system, stratum)
    remarks = ["ranks only"] if has_ranks_only(metrics, system) else []
    remarks += [f"n = {size:,}"] if size != stratum_size(metrics, stratum) else []
    return f"{system_title(system)} ({', '.join(remarks)})" if remarks else system_title(system)


def header(columns: Sequence[str]) -> list[str]:
    """Return the cells above `rows_of`."""
    return ["System", *(column_title(name) for name in columns)]


def rows_of(metrics: Metrics, stratum: str, columns: Sequence[str]) -> list[list[str]]:
    """Return a row of cells per system, its name first, in the order of tables."""
    return [
        [
            _row_title(metrics, system, stratum),
            *(cell_text(name, metrics[system].get(stratum, {}).get(name)) for name in columns),
        ]
        for system in in_order(metrics)
    ]


def column_title(metric: str) -> str:
    """Return the title of a column with its unit and an arrow towards better values."""
    definition = METRICS.get(metric)
    if definition is None:
        return metric
    unit = " %" if definition.is_share else ""
    return f"{definition.title}{unit} {'↑' if definition.higher_is_better else '↓'}"


def cell_text(metric: str, value: MetricValue | None) -> str:
    """Format a value with its interval, as in `41.2 [38.0, 44.5]`; a dash without a value."""
    if value is None or value["value"] is None:
        return "–"
    return f"{format_value(metric, value['value'])} {_brackets(metric, value)}"


def _drawn_cell(metric: str, value: MetricValue | None, intervals: bool) -> Text:
    if value is None or value["value"] is None:
        return Text("–")
    text = Text(format_value(metric, value["value"]))
    return text.append(f"\n{_brackets(metric, value)}", style="dim") if intervals else text


def _brackets(metric: str, value: MetricValue) -> str:
    return f"[{format_value(metric, value['low'])}, {format_value(metric, value['high'])}]"
