"""The page `report.html` of a tuning campaign, self-contained."""

from datetime import UTC, datetime
from pathlib import Path

import yaml

from mint_ray import __version__
from mint_ray.evaluation.case_sample import sampled_from
from mint_ray.evaluation.results import METRICS as MEASURES
from mint_ray.evaluation.results import format_value
from mint_ray.reports.campaign import space_plots
from mint_ray.reports.campaign import trial_plots as plots
from mint_ray.reports.campaign.table import in_order
from mint_ray.reports.evaluation.report import format_difference
from mint_ray.reports.page import render_page, write_page
from mint_ray.tuning.results import PARETO, Results
from mint_ray.tuning.space import shown

SHOWN = ("mrr", "top1", "top3", "top10", "nll", "brier", "ece")


def write_report(path: Path, key: str, results: Results) -> None:
    """Write the page atomically.

    Args:
        key: hash of the tune step.
    """
    write_page(path, render_report(key, results))


def render_report(key: str, results: Results) -> str:
    """Render the page as HTML without scripts or external files, with all values escaped.

    It shows ids, settings and numbers only, never a note.
    """
    functions = {
        "format_value": format_value,
        "format_difference": format_difference,
        "shown": shown,
        "measures": MEASURES,
    }
    return render_page(
        "tune.html.j2",
        functions,
        package="mint_ray.reports.campaign",
        key=key,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        results=results,
        validated=sampled_from(results.config, "validation").describe(),
        names=list(results.config.tune.space),
        metrics=list(dict.fromkeys([results.measure, *SHOWN])),
        pareto_names=[MEASURES[name].title for name in PARETO],
        trials=in_order(results),
        plots=_plots(results),
        colour_of=lambda result: plots.colour_of(results, result),
        settings=_settings(results),
    )


def _plots(results: Results) -> dict[str, object]:
    return {
        "parallel": space_plots.parallel_coordinates(results),
        "heat": space_plots.heat_map(results),
        "importance": space_plots.importance_bars(results) if results.importance else None,
        "metric": plots.metric_curves(results),
        "loss": plots.loss_curves(results),
        "cost": plots.cost_against_quality(results),
        "pareto": plots.pareto_plot(results),
        "steps": plots.step_bars(results),
    }


def _settings(results: Results) -> str:
    config = results.config
    sections = {"seed", "tune", "preferences", "student", "training"}
    tree = config.model_dump(mode="json", include=sections)
    text: str = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    return text
