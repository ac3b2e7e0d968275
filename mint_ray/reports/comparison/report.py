"""The page `report.html` of a comparison, self-contained and made to be printed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mint_ray.config.evaluation import SystemConfig
from mint_ray.evaluation.comparison import Differences, SystemCost, compared_outcomes
from mint_ray.evaluation.contrasts import Contrast, formula
from mint_ray.evaluation.learning_rates import RateChoice
from mint_ray.evaluation.measurement import Measurement
from mint_ray.evaluation.results import (
    METRICS,
    Metrics,
    format_value,
    has_ranks_only,
    strata_of,
    stratum_size,
    stratum_title,
    system_size,
)
from mint_ray.evaluation.systems import in_order, system_title
from mint_ray.reports.comparison.plots import cost_plot, forest_plot
from mint_ray.reports.comparison.watched import line_styles, watched_plots
from mint_ray.reports.evaluation.charts import colour_class, reliability_plot
from mint_ray.reports.evaluation.report import (
    best_systems,
    format_difference,
    interval_text,
    top1_metric,
)
from mint_ray.reports.evaluation.risk_coverage import risk_coverage_plot
from mint_ray.reports.evaluation.table import column_title
from mint_ray.reports.page import render_page, write_page

_MAIN = (
    *("top1_macro", "top3_macro", "top10_macro", "top1"),
    *("balanced_accuracy", "macro_f1", "mrr", "nll", "ece", "ece_debiased"),
)
_FURTHER = (
    *("top3", "top10", "brier", "ece_mass", "ece_mass_debiased", "auroc"),
    *("hallucination_free", "top1_lenient", "top10_lenient"),
)
_COMPARED = ("top1_macro", "top10_macro", "top1", "mrr", "balanced_accuracy")


@dataclass(frozen=True)
class ComparisonReport:
    """Content of the page: ids, settings and numbers only, never a note."""

    run_name: str
    created: str
    """Date and time, as shown."""
    measurement: Measurement
    groups: int
    """Number of groups of the tested cases."""
    reference: str
    differences: Differences
    costs: Mapping[str, SystemCost]
    """Of the language models; one that is taken as it is, or asked, has no training."""
    systems: Mapping[str, SystemConfig]
    """Compared systems as the config names them."""
    tested: str
    """Split of the tested cases, with its seed and fold, in words."""
    bins: int
    """Number of confidence bins of the ECE."""
    samples: int
    """Bootstrap resamples of the intervals."""
    versions: Mapping[str, str]
    contrasts: Mapping[str, Contrast] = field(default_factory=dict)
    """By name."""
    watched: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    """Rows of what was watched along the training of a system; see `watched_plots`."""
    rates: Mapping[str, RateChoice] = field(default_factory=dict)
    """Learning rates that were chosen by trials, by system."""

    @property
    def metrics(self) -> Metrics:
        """Metrics of all systems."""
        return self.measurement.metrics

    @property
    def student(self) -> str:
        """System whose row is marked."""
        return self.reference


def write_report(path: Path, report: ComparisonReport) -> None:
    """Write the page atomically."""
    write_page(path, render_report(report))


def render_report(report: ComparisonReport) -> str:
    """Render the page as HTML without scripts or external files, with all values escaped."""
    metrics = report.metrics
    measured = {n for strata in metrics.values() for named in strata.values() for n in named}
    functions = {
        "system_title": system_title,
        "colour_class": partial(colour_class, student=report.reference),
        "column_title": column_title,
        "format_value": format_value,
        "interval_text": interval_text,
        "best_systems": best_systems,
        "format_difference": format_difference,
        "formula": formula,
        "count": _count,
    }
    compared = _compared_metrics(report.differences)
    main = [name for name in _MAIN if name in measured]
    further = [name for name in _FURTHER if name in measured]
    return render_page(
        "compare.html.j2",
        functions,
        package="mint_ray.reports.comparison",
        context=report,
        systems=in_order(metrics),
        cases=len(report.measurement.cases),
        strata={name: stratum_title(metrics, name) for name in strata_of(metrics)},
        stratum_size=partial(stratum_size, metrics),
        system_size=partial(system_size, metrics),
        has_ranks_only=partial(has_ranks_only, metrics),
        main_metrics=main,
        further_metrics=further,
        compared_metrics=compared,
        definitions={name: METRICS[name] for name in METRICS if name in {*main, *further}},
        top1=top1_metric(metrics),
        unsure=[name for name in in_order(metrics) if "nll" not in metrics[name]["all"]],
        plots=_plots(report, compared),
        settings={name: _settings(system) for name, system in report.systems.items()},
    )


def _compared_metrics(differences: Differences) -> list[str]:
    measured = {name for strata in differences.values() for name in strata["all"].metrics}
    return [name for name in _COMPARED if name in measured]


def _plots(report: ComparisonReport, compared: Sequence[str]) -> dict[str, Any]:
    metrics, reference = report.metrics, report.reference
    outcomes = compared_outcomes(report.measurement)
    confident = {name: item for name, item in outcomes.items() if item.has_probabilities}
    styles = {name: colour_class(name, reference) for name in confident}
    return {
        "forest": [
            (METRICS[name].title, forest_plot(report.differences, name, reference))
            for name in compared
        ],
        "calibration": [
            (
                f"{system_title(name)}, ECE {_ece(metrics, name)}",
                reliability_plot(name, outcome, report.bins, styles[name]),
            )
            for name, outcome in confident.items()
        ],
        "risk": risk_coverage_plot(confident, styles) if confident else None,
        "risk_systems": list(confident),
        "cost": _cost_plots(report),
        "watched": watched_plots(report.watched, reference),
        "watched_styles": line_styles(report.watched, reference),
    }


def _cost_plots(report: ComparisonReport) -> list[tuple[str, Markup]]:
    top1 = top1_metric(report.metrics)
    accuracies = {name: report.metrics[name]["all"][top1] for name in report.costs}
    by_unit: dict[str, dict[str, float | None]] = {
        "training tokens": {name: cost.tokens for name, cost in report.costs.items()},
        "training seconds": {name: cost.training_seconds for name, cost in report.costs.items()},
        "ranking seconds": {name: cost.ranking_seconds for name, cost in report.costs.items()},
    }
    return [
        (
            f"{METRICS[top1].title} against {unit}",
            cost_plot(costs, accuracies, top1, report.reference, unit),
        )
        for unit, costs in by_unit.items()
        if any(cost is not None for cost in costs.values())
    ]


def _ece(metrics: Metrics, system: str) -> str:
    value = metrics[system]["all"].get("ece")
    return format_value("ece", value["value"] if value else None)


def _settings(system: SystemConfig) -> str:
    parts = [] if system.compared else ["not compared"]
    if system.start_from is not None:
        parts.append(f"from {system.start_from}")
    return ", ".join([*parts, *(f"{name}={_shown(v)}" for name, v in system.overrides.items())])


def _shown(value: object) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def _count(number: float | None) -> str:
    return "–" if number is None else f"{number:,.0f}"
