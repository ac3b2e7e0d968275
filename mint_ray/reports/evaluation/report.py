"""The page `report.html` of an evaluation, self-contained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mint_ray.evaluation.metrics.compute import Difference
from mint_ray.evaluation.outcomes import Outcomes
from mint_ray.evaluation.results import (
    MACRO,
    METRICS,
    Metrics,
    MetricValue,
    format_value,
    has_classes,
    has_ranks_only,
    strata_of,
    stratum_size,
    stratum_title,
    system_size,
)
from mint_ray.evaluation.systems import control_meaning, in_order, is_control, system_title
from mint_ray.reports.evaluation import charts
from mint_ray.reports.evaluation.examples import Example
from mint_ray.reports.evaluation.per_class import ClassReport
from mint_ray.reports.evaluation.plots import draw_plots
from mint_ray.reports.evaluation.table import column_title
from mint_ray.reports.evaluation.training_curves import Rows, training_curves
from mint_ray.reports.page import render_page, write_page

_MAIN_METRICS = (
    *("top1_macro", "top3_macro", "top10_macro"),
    *("top1", "top3", "top10", "mrr", "nll", "brier"),
    *("ece", "ece_debiased", "ece_mass", "ece_mass_debiased", "auroc"),
)
_MAIN_CLASS_METRICS = (
    "top1",
    "balanced_accuracy",
    "macro_f1",
    "top1_by_group",
    "top3",
    "nll",
    "ece",
    "ece_debiased",
    "classwise_ece",
)


@dataclass(frozen=True)
class LineageStep:
    """One step that led to the figures, from its manifest."""

    stage: str
    step_id: str
    inputs: Sequence[str]
    rows_in: int | None = None
    rows_out: int | None = None
    rejected: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class ReportContext:
    """Content of the report: ids, labels and numbers only, never a note."""

    run_name: str
    created: str
    """Date and time, as shown."""
    metrics: Metrics
    outcomes: Mapping[str, Outcomes]
    groups: int
    """Number of groups (publications, patients, slides) of the evaluated cases."""
    bins: int
    """Number of confidence bins of the ECE."""
    samples: int
    """Bootstrap resamples of the intervals."""
    student: str
    """System name of the trained student, which the page is about."""
    tested: str = ""
    """Split of the evaluated cases, with its seed and fold, in words."""
    differences: Sequence[Difference] = ()
    classes: ClassReport | None = None
    """Figures per answer; None if there are many answers."""
    tiles_page: str | None = None
    """File name of the page with images beside this one; None without one."""
    examples: Sequence[Example] = ()
    training: Rows = ()
    """Metrics of the student's optimizer steps."""
    splits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Counts by split: {"train": {"cases": 9, "groups": 5, "labels": 3}, ...}."""
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Number of rejected rows, by reason."""
    notes_shortened: int = 0
    data_facts: Mapping[str, str] = field(default_factory=dict)
    """Further lines of the data card."""
    lineage: Sequence[LineageStep] = ()
    teacher_revision: str | None = None
    config: str = ""
    """The resolved settings, as YAML."""
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    warnings: Sequence[str] = ()
    """Remarks on this run that a reader must know."""

    @property
    def cases(self) -> int:
        """Number of evaluated cases."""
        return max((len(outcome.rank) for outcome in self.outcomes.values()), default=0)


def write_report(path: Path, context: ReportContext) -> None:
    """Write the page atomically."""
    write_page(path, render_report(context))


def render_report(context: ReportContext) -> str:
    """Render the page as HTML without scripts or external files, with all values escaped."""
    functions = {
        "system_title": system_title,
        "colour_class": partial(charts.colour_class, student=context.student),
        "column_title": column_title,
        "format_value": format_value,
        "format_difference": format_difference,
        "interval_text": interval_text,
        "best_systems": best_systems,
        "control_meaning": control_meaning,
    }
    metrics = context.metrics
    systems = in_order(metrics)
    by_class = has_classes(metrics)
    return render_page(
        "report.html.j2",
        functions,
        context=context,
        systems=systems,
        compared=[system for system in systems if not is_control(system)],
        controls=[system for system in systems if is_control(system)],
        by_class=by_class,
        strata={
            name: stratum_title(metrics, name)
            for name in strata_of(metrics)
            if (_is_informative if by_class else stratum_size)(metrics, name)
        },
        stratum_size=partial(stratum_size, metrics),
        system_size=partial(system_size, metrics),
        has_ranks_only=partial(has_ranks_only, metrics),
        main_metrics=_main_metrics(metrics),
        top1=top1_metric(metrics),
        further_metrics=_further_metrics(metrics),
        definitions={name: METRICS[name] for name in METRICS if name in _named_metrics(metrics)},
        headline=headline(metrics, context.student),
        plots=draw_plots(metrics, context.outcomes, context.student, context.bins, context.classes),
        training=training_curves(context.training, context.student),
        rank_buckets=[title for title, _ in charts.RANK_BUCKETS],
    )


def headline(metrics: Metrics, student: str) -> str:
    """Return a sentence about the student's top-1 accuracy, its base model's and its teacher's.

    Patients' accuracies are means over groups. Empty if the student's was not measured.
    """
    metric = top1_metric(metrics)
    top1 = {system: metrics[system].get("all", {}).get(metric) for system in metrics}
    value = top1.get(student)
    if not value or value["value"] is None:
        return ""
    first = format_value("top1", value["value"])
    size = system_size(metrics, student, "all")
    mean = " (mean over publications)" if metric.endswith(MACRO) else ""
    parts = [
        f"Over {size:,} held-out cases{mean} the student names the known answer first in {first}%"
    ]
    base, teacher = top1.get("base"), top1.get("teacher")
    if base and base["value"]:
        times = value["value"] / base["value"]
        share = format_value("top1", base["value"])
        parts.append(f"{times:.1f} times as often as its base model ({share}%)")
    if teacher and teacher["value"]:
        reached = value["value"] / teacher["value"]
        share = format_value("top1", teacher["value"])
        parts.append(f"reaching {reached:.0%} of its teacher’s {share}%")
    return ", ".join(parts) + "."


def best_systems(metrics: Metrics, stratum: str, metric: str) -> set[str]:
    """Return the systems with the best value, for emphasis; empty if there is only one value.

    Controls, and systems measured on fewer cases than the others, do not compete.
    """
    size = stratum_size(metrics, stratum)
    values = {
        system: value["value"]
        for system in metrics
        if (value := metrics[system].get(stratum, {}).get(metric))
        and value["value"] is not None
        and system_size(metrics, system, stratum) == size
        and not is_control(system)
    }
    if len(values) < 2:
        return set()
    better = max if METRICS[metric].higher_is_better else min
    best = better(values.values())
    return {system for system, value in values.items() if value == best}


def interval_text(metric: str, value: MetricValue) -> str:
    """Format an interval, as in `38.0–44.5`."""
    return f"{format_value(metric, value['low'])}–{format_value(metric, value['high'])}"


def format_difference(metric: str, value: float) -> str:
    """Format a difference with its sign, in percentage points for shares."""
    definition = METRICS.get(metric)
    if definition is not None and definition.is_share:
        return f"{100 * value:+.1f}".replace("-", "−")
    return f"{value:+.3f}".replace("-", "−")


def _named_metrics(metrics: Metrics) -> set[str]:
    return {name for system in metrics.values() for by in system.values() for name in by}


def top1_metric(metrics: Metrics) -> str:
    """Return the name of the accuracy that stands first: the macro one for patients."""
    measured = _named_metrics(metrics)
    return "top1_macro" if "top1_macro" in measured and not has_classes(metrics) else "top1"


def _main_metrics(metrics: Metrics) -> tuple[str, ...]:
    if has_classes(metrics):
        return _MAIN_CLASS_METRICS
    measured = _named_metrics(metrics)
    return tuple(name for name in _MAIN_METRICS if name in measured or not name.endswith(MACRO))


def _further_metrics(metrics: Metrics) -> list[str]:
    named, main = _named_metrics(metrics), _main_metrics(metrics)
    return [name for name in METRICS if name in named and name not in main]


def _is_informative(metrics: Metrics, stratum: str) -> bool:
    """Return whether a stratum is `all`, or has some but not all cases."""
    return 0 < stratum_size(metrics, stratum) < stratum_size(metrics, "all") or stratum == "all"
