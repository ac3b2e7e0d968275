"""Tables of comparisons: accuracy, paired difference to the reference, and cost of each system."""

from typing import Any

from mint_ray.evaluation.case_sample import SampledFrom
from mint_ray.evaluation.contrasts import formula
from mint_ray.evaluation.results import METRICS, Metrics, MetricValue, stratum_size, stratum_title
from mint_ray.evaluation.systems import in_order, system_title
from mint_ray.reports.comparison.table import difference_text
from mint_ray.reports.evaluation.table import cell_text
from tables.records import machine

_STRATA = ("all", "seen", "unseen", "described")
_SHOWN = ("top1_macro", "top3_macro", "top10_macro", "nll", "ece")


def section(result: dict[str, Any]) -> str:
    """Write command, machine and tables of a recorded comparison."""
    tested = SampledFrom(**result["facts"]["tested"]).describe()
    lines = [f"`{result['command']}`, {machine(result)}. Tested: {tested}."]
    strata = [s for s in _STRATA if any(s in m for m in result["metrics"].values())]
    for stratum in strata:
        lines += ["", *_accuracies(result, stratum)]
    if contrasts := result.get("contrasts"):
        lines += ["", *_contrasts(contrasts, result["metrics"])]
    lines += ["", *_costs(result)]
    return "\n".join(lines)


def _accuracies(result: dict[str, Any], stratum: str) -> list[str]:
    """Return the table of a stratum, with the paired differences to the reference."""
    metrics, reference = result["metrics"], result["reference"]
    compared = f"less {system_title(reference)}, points"
    titles = ["System", *(METRICS[name].title for name in _SHOWN), compared, "McNemar p"]
    lines = [
        f"{stratum_title(metrics, stratum)}, n = {stratum_size(metrics, stratum)}; 95% intervals "
        "in brackets; difference of top-1, macro",
        "",
        "| " + " | ".join(titles) + " |",
        "|---|" + "---:|" * (len(titles) - 1),
    ]
    for system in in_order(metrics):
        values: dict[str, MetricValue] = metrics[system].get(stratum, {})
        cells = [cell_text(name, values.get(name)) for name in _SHOWN]
        paired = result["differences"].get(system, {}).get(stratum)
        cells += (
            [
                difference_text("top1_macro", paired["metrics"].get("top1_macro")),
                f"{paired['mcnemar']['p_value']:.2g}",
            ]
            if paired
            else ["–", "–"]
        )
        lines.append(f"| {system_title(system)} | {' | '.join(cells)} |")
    return lines


def _contrasts(contrasts: dict[str, Any], metrics: Metrics) -> list[str]:
    """Return the table of weighted sums of systems, with a row for each stratum."""
    shown = [name for name in _SHOWN if name.startswith("top")]
    lines = [
        "| Contrast, points | | " + " | ".join(METRICS[name].title for name in shown) + " |",
        "|---|---|" + "---:|" * len(shown),
    ]
    for name, found in contrasts.items():
        for stratum in (s for s in _STRATA if s in found["strata"]):
            values = found["strata"][stratum]
            cells = [difference_text(metric, values.get(metric)) for metric in shown]
            title = f"{name}: {formula(found['weights'])}"
            lines.append(f"| {title} | {stratum_title(metrics, stratum)} | {' | '.join(cells)} |")
    return lines


def _costs(result: dict[str, Any]) -> list[str]:
    """Return the table of costs."""
    lines = [
        "| Cost | optimizer steps | tokens | training, s | ranking, s |",
        "|---|---:|---:|---:|---:|",
    ]
    for system, cost in result["costs"].items():
        values = (cost[name] for name in ("steps", "tokens", "training_seconds", "ranking_seconds"))
        cells = ("–" if value is None else f"{value:,.0f}" for value in values)
        lines.append(f"| {system_title(system)} | {' | '.join(cells)} |")
    return lines
