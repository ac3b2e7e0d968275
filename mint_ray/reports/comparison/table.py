"""Paired differences as text, and as lines for the terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mint_ray.common.files import read_json
from mint_ray.evaluation.contrasts import formula
from mint_ray.evaluation.results import METRICS, MetricValue, read_metrics
from mint_ray.evaluation.systems import system_title
from mint_ray.reports.evaluation.report import format_difference
from mint_ray.reports.evaluation.table import print_free_answers, print_table

_SHOWN = ("top1_macro", "top1")


def print_comparison(folder: Path) -> None:
    """Print table, paired differences and the report's path of a finished `compare` step."""
    comparison = read_json(folder / "differences.json")
    metrics, reference = read_metrics(folder / "metrics.json"), comparison["reference"]
    print_table(metrics, student=reference)
    print_free_answers(metrics, student=reference)
    print("\n".join(difference_lines(comparison)))
    print(f"report: {folder / 'report.html'}")


def interval_of(value: MetricValue | None) -> tuple[float, float, float] | None:
    """Return low end, value and high end of a difference; None where there is none."""
    if value is None or value["low"] is None or value["value"] is None or value["high"] is None:
        return None
    return value["low"], value["value"], value["high"]


def difference_text(metric: str, value: MetricValue | None) -> str:
    """Format a difference with its interval, as in `+1.2 [−0.3, +2.7]`; a dash without one."""
    interval = interval_of(value)
    if interval is None:
        return "–"
    low, middle, high = (format_difference(metric, end) for end in interval)
    return f"{middle} [{low}, {high}]"


def difference_lines(comparison: Mapping[str, Any]) -> list[str]:
    """Return one line per system, its paired difference to the reference, and one per contrast.

    Args:
        comparison: content of `differences.json`.
    """
    lines = [f"paired differences to {system_title(comparison['reference'])}:"]
    for system, strata in comparison["differences"].items():
        metrics = strata["all"]["metrics"]
        metric = next(name for name in _SHOWN if name in metrics)
        shown = f"{METRICS[metric].title} {difference_text(metric, metrics[metric])}"
        p_value = strata["all"]["mcnemar"]["p_value"]
        lines.append(f"  {system_title(system):<26} {shown:<36} McNemar p {p_value:.2g}")
    for name, found in comparison.get("contrasts", {}).items():
        metrics = found["strata"]["all"]
        metric = next(name for name in _SHOWN if name in metrics)
        shown = f"{METRICS[metric].title} {difference_text(metric, metrics[metric])}"
        lines.append(f"{name}, {formula(found['weights'])}: {shown}")
    return lines
