"""Selection of a report's plots, by section."""

from collections.abc import Mapping

from markupsafe import Markup

from mint_ray.evaluation.outcomes import Outcomes
from mint_ray.evaluation.results import (
    MACRO,
    METRICS,
    Metrics,
    format_value,
    has_classes,
    stratum_size,
)
from mint_ray.evaluation.systems import in_order, is_control, system_title
from mint_ray.reports.evaluation import charts
from mint_ray.reports.evaluation.confusion import confusion_plot
from mint_ray.reports.evaluation.per_class import ClassReport
from mint_ray.reports.evaluation.risk_coverage import risk_coverage_plot

Plots = list[tuple[str, Markup]]
"""(title, SVG) of each plot."""


def draw_plots(
    metrics: Metrics,
    outcomes: Mapping[str, Outcomes],
    student: str,
    bins: int,
    classes: ClassReport | None = None,
) -> dict[str, Plots]:
    """Draw all plots of a report.

    Args:
        bins: number of confidence bins of the reliability plots.
        classes: figures per answer, for the confusion matrices; None if there are many answers.

    Returns:
        Plots by section; controls are in a section of their own, `controls`.
    """
    by_class = has_classes(metrics)
    measured = {name for strata in metrics.values() for named in strata.values() for name in named}
    macro = "top1" + MACRO in measured
    compared = {system: metrics[system] for system in metrics if not is_control(system)}
    ranked = {system: outcomes[system] for system in outcomes if not is_control(system)}
    with_confidence = [name for name in in_order(ranked) if ranked[name].has_probabilities]
    styles = {name: charts.colour_class(name, student) for name in with_confidence}
    both = ("seen", "unseen")
    split = all(stratum_size(metrics, stratum) for stratum in both)
    shown = (
        ("top1", "balanced_accuracy", "top1_by_group")
        if by_class
        else (*(("top1" + MACRO,) if macro else ()), "top1", "top3", "top10")
    )
    in_strata = _in_strata(by_class, macro) if split else ()
    return {
        "accuracy": [
            (METRICS[name].title, charts.metric_dots(compared, name, student)) for name in shown
        ],
        "strata": [
            (METRICS[name].title, charts.stratum_dots(compared, name, both, student))
            for name in in_strata
        ],
        "ranks": [("Rank of the known answer", charts.rank_bars(ranked))],
        "calibration": [
            (
                f"{system_title(name)}, ECE {_overall(metrics, name, 'ece')}",
                charts.reliability_plot(name, ranked[name], bins, styles[name]),
            )
            for name in with_confidence
        ],
        "risk": _risk(ranked, styles) if by_class and with_confidence else [],
        "confusion": [
            (system_title(name), confusion_plot(system_title(name), confusion))
            for name, confusion in (classes.confusions if classes else {}).items()
        ],
        "controls": _controls(metrics, student),
    }


def _in_strata(by_class: bool, macro: bool) -> tuple[str, str]:
    """Return the metrics that are drawn by stratum: those of patients are means over groups."""
    if by_class:
        return "top1", "top3"
    return ("top1" + MACRO, "top10" + MACRO) if macro else ("top1", "top10")


def _risk(ranked: Mapping[str, Outcomes], styles: Mapping[str, str]) -> Plots:
    plot = risk_coverage_plot({name: ranked[name] for name in styles}, styles)
    return [("Error rate of the surest answers", plot)]


def _controls(metrics: Metrics, student: str) -> Plots:
    """Draw the controls beside the student."""
    controls = {name: metrics[name] for name in metrics if is_control(name)}
    if not controls:
        return []
    compared = {student: metrics[student]} if student in metrics else {}
    return [
        (METRICS[name].title, charts.metric_dots(compared | controls, name, student))
        for name in ("top1", "balanced_accuracy")
    ]


def _overall(metrics: Metrics, system: str, metric: str) -> str:
    value = metrics.get(system, {}).get("all", {}).get(metric)
    return format_value(metric, value["value"] if value else None)
