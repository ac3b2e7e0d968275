"""Printed results of a finished step, and the printed plan of a run."""

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from mint_ray.config.config import Config
from mint_ray.evaluation.results import read_metrics
from mint_ray.pipeline.graph import plan, select
from mint_ray.pipeline.steps import Step


def show_result(step: str, folder: Path, config: Config) -> None:
    """Print the table of a finished step and where its files are; nothing if it has no table.

    Args:
        step: name of the step.
        folder: folder of the step.
        config: resolved config of the run.
    """
    if show := _SHOWS.get(step):
        show(folder, config)


def show_plan(config: Config, force: str | None, steps: Sequence[Step]) -> None:
    """Print which steps are complete, and their folders.

    Args:
        config: resolved config of the run.
        force: name of a step that is to run again, or None.
        steps: steps in the order of the lines.
    """
    planned, of_a_run = plan(config), {step.name for step in select(config)}
    for name, item in ((step.name, planned[step.name]) for step in steps):
        complete = item.complete and name != force
        not_begun = "to run" if name in of_a_run else "on request"
        state = "complete" if complete else ("incomplete" if item.folder.exists() else not_begun)
        click.echo(f"{name:<10} {state:<11} {item.folder}")


def _show_evaluation(folder: Path, config: Config) -> None:
    """Print the metrics of the systems of an evaluation."""
    from mint_ray.evaluation.case_sample import SampledFrom
    from mint_ray.knowledge.release import describe_knowledge
    from mint_ray.pipeline.manifest import read_manifest
    from mint_ray.reports.evaluation.table import print_free_answers, print_table

    manifest = read_manifest(folder)
    assert manifest is not None  # the step is complete
    metrics, student = read_metrics(folder / "metrics.json"), manifest.facts["student"]
    print_table(metrics, student=student)
    print_free_answers(metrics, student=student)
    click.echo(f"tested: {SampledFrom(**manifest.facts['tested']).describe()}")
    if knowledge := manifest.facts.get("knowledge"):
        click.echo(f"knowledge: {describe_knowledge(knowledge)}")
    click.echo(f"report: {folder / 'report.html'}")


def _show_comparison(folder: Path, config: Config) -> None:
    """Print the systems of a comparison."""
    from mint_ray.reports.comparison.table import print_comparison

    print_comparison(folder)


def _show_answers(folder: Path, config: Config) -> None:
    """Print the metrics of the reasoning systems."""
    from mint_ray.reports.evaluation.table import print_table

    print_table(read_metrics(folder / "metrics.json"))
    click.echo(f"transcripts, which hold text of the notes: {folder / 'answers.parquet'}")


def _show_campaign(folder: Path, config: Config) -> None:
    """Print the trials of a campaign and its winner."""
    from mint_ray.reports.campaign.table import print_trials
    from mint_ray.tuning.results import read_results
    from mint_ray.tuning.trials import read_trials

    results = read_results(config, read_trials(folder))
    print_trials(results)
    click.echo(results.summary)
    click.echo(f"report: {folder / 'report.html'}")
    click.echo(f"winner: {folder} (as a train step's output: mint predict --student)")


def _show_rates(folder: Path, config: Config) -> None:
    """Print the tried learning rates and the chosen one."""
    from mint_ray.evaluation.learning_rates import read_choice
    from mint_ray.reports.evaluation.table import print_table

    print_table(read_metrics(folder / "metrics.json"))
    choice = read_choice(folder)
    click.echo(f"learning rate {choice.chosen:g}, by {choice.metric} of {choice.cases} cases")


_SHOWS: dict[str, Callable[[Path, Config], None]] = {
    "evaluate": _show_evaluation,
    "compare": _show_comparison,
    "rates": _show_rates,
    "reason": _show_answers,
    "tune": _show_campaign,
}
