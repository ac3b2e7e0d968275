"""The `mint` command: parse, call, exit code.

Exit codes: 0 done, 1 a MintError (its message is for the user), 2 wrong usage, 130 interrupted.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from mint_ray import __version__
from mint_ray.config import Config
from mint_ray.config_files import load_config
from mint_ray.errors import ConfigError, MintError

CONFIG = click.argument("config", type=click.Path(path_type=Path))
OVERRIDES = click.argument("overrides", nargs=-1, metavar="[section.key=value ...]")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mint")
def cli() -> None:
    """Teachers that see several modalities align students that see one."""


@cli.command()
@CONFIG
@OVERRIDES
@click.option("--dry-run", is_flag=True, help="Show what would run, and stop.")
@click.option("--until", metavar="STAGE", help="Stop after this stage.")
@click.option("--force", metavar="STAGE", help="Discard this stage's output first.")
def run(
    config: Path, overrides: Sequence[str], dry_run: bool, until: str | None, force: str | None
) -> None:
    """Run every stage that is not complete."""
    from mint_ray import pipeline

    resolved = _load(config, overrides)
    steps = pipeline.select(until)
    if force is not None and force not in {step.name for step in steps}:
        raise ConfigError(f"--force {force}: not among {', '.join(s.name for s in steps)}")
    if dry_run:
        _show_plan(resolved, force, steps)
        return
    _run(resolved, steps, force)


def _stage_command(name: str, about: str) -> None:
    @cli.command(name=name, help=f"Stage {name}: {about}. Runs what it needs first.")
    @CONFIG
    @OVERRIDES
    @click.option("--force", is_flag=True, help="Discard this stage's output first.")
    def command(config: Path, overrides: Sequence[str], force: bool) -> None:
        from mint_ray import pipeline

        _run(_load(config, overrides), pipeline.needed_for(name), name if force else None)


for _name, _about in (
    ("cases", "read or simulate cases"),
    ("teach", "fit the teacher"),
    ("prefer", "write preference pairs"),
    ("train", "align the student"),
    ("evaluate", "measure every system and write the report"),
    ("tune", "search settings of the training (section tune), keep the best student"),
):
    _stage_command(_name, _about)


@cli.command()
@CONFIG
@click.argument("stage")
@OVERRIDES
def path(config: Path, stage: str, overrides: Sequence[str]) -> None:
    """Print the folder of a stage's complete output."""
    from mint_ray import pipeline

    pipeline.check_known(stage)
    planned = pipeline.plan(_load(config, overrides))[stage]
    if not planned.complete:
        raise ConfigError(f"stage {stage} is not complete; run: mint {stage} {config}")
    click.echo(planned.folder)


@cli.command()
@CONFIG
@OVERRIDES
def status(config: Path, overrides: Sequence[str]) -> None:
    """Show which stages are complete, and their folders."""
    from mint_ray.steps import STEPS

    _show_plan(_load(config, overrides), None, STEPS)


@cli.command()
@click.option(
    "--student",
    required=True,
    type=click.Path(path_type=Path),
    help="An adapter folder, or the folder of a train step.",
)
@click.option(
    "--cases",
    required=True,
    type=click.Path(path_type=Path),
    help="A case table (.parquet), a phenopacket, a folder of them, or a ZIP.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Predictions are written here, as parquet.",
)
@click.option("--top-k", default=10, show_default=True, type=click.IntRange(1))
def predict(student: Path, cases: Path, out: Path, top_k: int) -> None:
    """Rank the catalogue for new cases with a finished student."""
    from mint_ray.progress import Progress
    from mint_ray.stages.predict import predict as predict_cases

    counts = predict_cases(student, cases, out, top_k)
    rejected = ", ".join(f"{n} {why}" for why, n in sorted(counts.rejected.items())) or "none"
    Progress().say(f"{counts.ranked} cases ranked, rejected: {rejected}; {out}")


@cli.command()
def doctor() -> None:
    """Show versions, devices, Ray, tracking and cached assets; name what is missing."""
    from mint_ray.doctor import examine

    missing = examine(click.echo)
    if missing:
        raise MintError(f"{missing} thing(s) missing, see above")


def _load(config: Path, overrides: Sequence[str]) -> Config:
    resolved = load_config(config, overrides)
    submitted = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
    if submitted and not Path(resolved.store).is_absolute():
        raise ConfigError(
            f"store={resolved.store} is relative, but a submitted job runs in a temporary copy of "
            "the working directory; give an absolute path that every node sees: store=/path"
        )
    return resolved


def _run(config: Config, steps: Any, force: str | None) -> None:
    from mint_ray import pipeline
    from mint_ray.progress import Progress

    progress = Progress()
    progress.say(f"run {config.name}, seed {config.seed}, store {Path(config.store).absolute()}")
    pipeline.run_steps(config, steps, force, progress)
    last = pipeline.plan(config)[steps[-1].name]
    if last.step.name == "evaluate":
        _show_result(last.folder)
    elif last.step.name == "tune":
        _show_campaign(config, last.folder)


def _show_result(folder: Path) -> None:
    from mint_ray.evaluation.results import read_metrics
    from mint_ray.evaluation.table import print_table
    from mint_ray.manifest import read_manifest

    manifest = read_manifest(folder)
    student = manifest.facts.get("student") if manifest else None
    print_table(read_metrics(folder / "metrics.json"), student=student)
    click.echo(f"report: {folder / 'report.html'}")


def _show_campaign(config: Config, folder: Path) -> None:
    from mint_ray.tuning.records import read_trials
    from mint_ray.tuning.results import read_results
    from mint_ray.tuning.table import print_trials

    results = read_results(config, read_trials(folder))
    print_trials(results)
    click.echo(results.summary)
    click.echo(f"report: {folder / 'report.html'}")
    click.echo(f"winner: {folder} (as a train step's output: mint predict --student)")


def _show_plan(config: Config, force: str | None, steps: Sequence[Any]) -> None:
    from mint_ray import pipeline

    planned = pipeline.plan(config)
    for name, item in ((step.name, planned[step.name]) for step in steps):
        complete = item.complete and name != force
        waiting = "on request" if item.step.on_request else "to run"
        state = "complete" if complete else ("incomplete" if item.folder.exists() else waiting)
        click.echo(f"{name:<9} {state:<11} {item.folder}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    handler: Callable[..., Any] = cli.main
    try:
        handler(args=list(arguments) if arguments is not None else None, standalone_mode=False)
    except MintError as error:
        click.echo(f"mint: {type(error).__name__}: {error}", err=True)
        return 1
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("mint: interrupted; the same command continues", err=True)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
