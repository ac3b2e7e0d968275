"""Lines of paired differences, for the terminal."""

from collections.abc import Mapping
from typing import Any

from mint_ray.evaluation.systems import system_title
from mint_ray.reports.comparison.plots import difference_text

_SHOWN = ("top1_macro", "top1")


def difference_lines(comparison: Mapping[str, Any]) -> list[str]:
    """Return one line per system: its paired difference to the reference.

    Args:
        comparison: content of `differences.json`.
    """
    lines = [f"paired differences to {system_title(comparison['reference'])}, top-1 in points:"]
    for system, strata in comparison["differences"].items():
        metric = next((name for name in _SHOWN if name in strata["all"]), "top1")
        shown = difference_text(metric, strata["all"].get(metric))
        p_value = comparison["mcnemar"][system]["p_value"]
        lines.append(f"  {system_title(system):<26} {shown:<24} McNemar p {p_value:.2g}")
    return lines
