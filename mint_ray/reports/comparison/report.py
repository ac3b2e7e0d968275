"""The page `report.html` of a comparison, self-contained and made to be printed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mint_ray.config.evaluation import SystemConfig
from mint_ray.evaluation.comparison import Differences, SystemCost, compared_systems
from mint_ray.evaluation.measurement import Measurement
from mint_ray.evaluation.results import (
    METRICS,
    Metrics,
    MetricValue,
    format_value,
    strata_of,
    stratum_size,
    stratum_title,
    system_size,
)
from mint_ray.evaluation.systems import in_order, system_title
from mint_ray.reports.comparison.plots import cost_plot, forest_plot
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
    *("balanced_accuracy", "macro_f1", "mrr", "nll", "ece"),
)
_FURTHER = ("top3", "top10", "brier", "ece_mass")
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
    """Of the trained systems."""
    systems: Mapping[str, SystemConfig]
    """Compared systems as the config names them."""
    tested: str
    """Split of the tested cases, with its seed and fold, in words."""
    bins: int
    """Number of confidence bins of the ECE."""
    samples: int
    """Bootstrap resamples of the intervals."""
    versions: Mapping[str, str]

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
    metrics, names = report.metrics, compared_systems(report.measurement)
    measured = {n for strata in metrics.values() for named in strata.values() for n in named}
    functions = {
        "system_title": system_title,
        "colour_class": partial(colour_class, student=report.reference),
        "column_title": column_title,
        "format_value": format_value,
        "interval_text": interval_text,
        "best_systems": best_systems,
        "format_difference": format_difference,
    }
    compared = {
        name: None for item in report.differences.values() for name in item.by_stratum["all"]
    }
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
        main_metrics=main,
        further_metrics=further,
        compared_metrics=[name for name in _COMPARED if name in compared],
        definitions={name: METRICS[name] for name in METRICS if name in {*main, *further}},
        top1=top1_metric(metrics),
        plots=_plots(report, names),
        settings={name: _settings(system) for name, system in report.systems.items()},
    )


def _plots(report: ComparisonReport, names: list[str]) -> dict[str, Any]:
    metrics, outcomes, reference = report.metrics, report.measurement.outcomes, report.reference
    confident = [name for name in names if outcomes[name].has_probabilities]
    styles = {name: colour_class(name, reference) for name in confident}
    differences = report.differences
    measured = {name for item in differences.values() for name in item.by_stratum["all"]}
    top1 = top1_metric(metrics)
    accuracies: dict[str, MetricValue] = {
        name: metrics[name]["all"][top1] for name in names if top1 in metrics[name]["all"]
    }
    training = {name: cost.training_seconds for name, cost in report.costs.items()}
    ranking = {name: cost.ranking_seconds for name, cost in report.costs.items()}
    return {
        "forest": [
            (METRICS[name].title, forest_plot(differences, name, reference))
            for name in _COMPARED
            if name in measured
        ],
        "calibration": [
            (
                f"{system_title(name)}, ECE {_ece(metrics, name)}",
                reliability_plot(name, outcomes[name], report.bins, styles[name]),
            )
            for name in confident
        ],
        "risk": [("", risk_coverage_plot({name: outcomes[name] for name in styles}, styles))]
        if confident
        else [],
        "cost": [
            (
                f"{METRICS[top1].title} against {unit}",
                cost_plot(by, accuracies, top1, reference, unit),
            )
            for unit, by in (("training seconds", training), ("ranking seconds", ranking))
            if any(value is not None for value in by.values())
        ],
    }


def _ece(metrics: Metrics, system: str) -> str:
    value = metrics[system]["all"].get("ece")
    return format_value("ece", value["value"] if value else None)


def _settings(system: SystemConfig) -> str:
    parts = [] if system.start_from is None else [f"from {system.start_from}"]
    return ", ".join([*parts, *(f"{name}={_shown(v)}" for name, v in system.overrides.items())])


def _shown(value: object) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)
