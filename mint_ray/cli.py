"""Command line `mint`: parsing of arguments, calls of stages and commands, exit codes.

Exit codes: 0 done, 1 a MintError (its message is for the user), 2 wrong usage, 130 interrupted.
"""

import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mint_ray import __version__
from mint_ray.config.config import Config
from mint_ray.errors import ConfigError, MintError
from mint_ray.pipeline.check import load_run

if TYPE_CHECKING:  # MLflow is slow to import
    from mint_ray.tracking.registry import Registry

PATH = click.Path(path_type=Path)
CONFIG = click.argument("config", type=PATH)
TRACKING = click.option(
    "--tracking",
    envvar="MLFLOW_TRACKING_URI",
    metavar="URI",
    help="Address of the registry; default $MLFLOW_TRACKING_URI, else sqlite:///runs/mlflow.db.",
)
_CASES = "A case table (.parquet, .csv), phenopackets (.json, .yaml, a folder, a ZIP), or images."
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of the signal, as shells have it."""
OVERRIDES = click.argument("overrides", nargs=-1, metavar="[section.key=value ...]")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mint")
def cli() -> None:
    """Align students of one modality on the preferences of multimodal teachers."""


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
    from mint_ray.commands.results import show_plan
    from mint_ray.pipeline import graph as pipeline

    resolved = _load(config, overrides)
    steps = pipeline.select(resolved, until)
    if force is not None and force not in {step.name for step in steps}:
        known = ", ".join(step.name for step in steps)
        raise ConfigError(f"--force {force}: expected one of the stages of this run: {known}")
    if dry_run:
        show_plan(resolved, force, steps)
        return
    _run(resolved, steps, force)


def _stage_command(name: str, about: str) -> None:
    @cli.command(name=name, help=f"Stage {name}: {about}. Runs what it needs first.")
    @CONFIG
    @OVERRIDES
    @click.option("--force", is_flag=True, help="Discard this stage's output first.")
    def command(config: Path, overrides: Sequence[str], force: bool) -> None:
        from mint_ray.pipeline import graph as pipeline

        resolved = _load(config, overrides)
        _run(resolved, pipeline.needed_for(name, resolved), name if force else None)


for _name, _about in (
    ("cases", "read or simulate cases"),
    ("teach", "fit the teacher"),
    ("prefer", "write preference pairs"),
    ("candidates", "rank training cases with the starting student, for training.candidates=beam"),
    ("rates", "try learning rates in short trainings (training.trials), choose one"),
    ("train", "align the student"),
    ("evaluate", "measure every system and write the report"),
    ("calibrate", "fit a temperature and conformal sets, measure them"),
    ("tune", "search settings of the training (section tune), keep the best student"),
    ("index", "write and index documents of diseases (section retrieval)"),
    ("reason", "ask a chat model about the tested cases (section reasoning), measure it"),
):
    _stage_command(_name, _about)


@cli.command()
@CONFIG
@OVERRIDES
@click.option("--force", is_flag=True, help="Discard this stage's output first.")
@click.option("--only", multiple=True, metavar="SYSTEM", help="Run its steps only; repeatable.")
def compare(config: Path, overrides: Sequence[str], force: bool, only: Sequence[str]) -> None:
    """Stage compare: train and rank with every system of section compare, measure them.

    Runs what it needs first. With --only, processes with one store share the systems.
    """
    from mint_ray.pipeline import graph as pipeline
    from mint_ray.pipeline.progress import Progress

    resolved = _load(config, overrides)
    if only:
        pipeline.run_systems(resolved, only, Progress())
    else:
        _run(resolved, pipeline.needed_for("compare", resolved), "compare" if force else None)


@cli.command()
@CONFIG
@click.argument("stage")
@OVERRIDES
def path(config: Path, stage: str, overrides: Sequence[str]) -> None:
    """Print the folder of a stage's complete output."""
    from mint_ray.pipeline import graph as pipeline

    pipeline.check_known(stage)
    planned = pipeline.plan(_load(config, overrides))[stage]
    if not planned.complete:
        command = shlex.join(["mint", stage, str(config), *overrides])
        raise ConfigError(f"stage {stage} is not complete; run: {command}")
    click.echo(planned.folder)


@cli.command()
@CONFIG
@OVERRIDES
def status(config: Path, overrides: Sequence[str]) -> None:
    """Show which stages are complete, and their folders."""
    from mint_ray.commands.results import show_plan
    from mint_ray.pipeline.steps import STEPS

    show_plan(_load(config, overrides), None, STEPS)


@cli.command()
@click.argument("predictions", type=PATH)
@click.argument("folder", type=PATH)
@click.option("--split", type=PATH, help="A list by mint split; FOLDER may then be of cases.")
def score(predictions: Path, folder: Path, split: Path | None) -> None:
    """Measure a file of predictions on the cases that a finished evaluate or compare tested."""
    from mint_ray.commands.score import score as measure
    from mint_ray.reports.evaluation.table import print_table

    print_table(measure(predictions, folder, split))


@cli.command()
@click.argument("evaluation", type=PATH)
@click.argument("out", type=PATH)
@click.option("--most", default=5, show_default=True, type=click.IntRange(1), help="Rows to list.")
def trace(evaluation: Path, out: Path, most: int) -> None:
    """Write the preference rows behind each first answer of a student to OUT, as parquet.

    EVALUATION is the folder of a finished evaluate.
    """
    from mint_ray.commands.trace import trace as write_rows

    table = write_rows(evaluation, out, most)
    unseen = sum(rows == 0 for rows in table["rows_for"].to_pylist())
    click.echo(f"{out}: {table.num_rows} answers, {unseen} of them of labels that no row taught")


@cli.command()
@CONFIG
@click.argument("out", type=PATH)
@OVERRIDES
def split(config: Path, out: Path, overrides: Sequence[str]) -> None:
    """Write the splits of the config's cases to OUT, a CSV file for mint score.

    Runs the stage cases first.
    """
    from mint_ray.commands.split import split as write_list
    from mint_ray.pipeline import graph as pipeline

    resolved = _load(config, overrides)
    _run(resolved, pipeline.needed_for("cases", resolved), None)
    click.echo(write_list(resolved, out))


@cli.command()
@click.argument("first", type=PATH)
@click.argument("second", type=PATH)
@click.option("--systems", nargs=2, metavar="A B", help="A system of FIRST and one of SECOND.")
@click.option(
    "--cases", default=10, show_default=True, type=click.IntRange(0), help="Changed cases to list."
)
def diff(first: Path, second: Path, systems: tuple[str, str] | None, cases: int) -> None:
    """Show which cases changed between two folders of evaluate or compare, and by how much."""
    from mint_ray.commands.diff import difference_lines

    for line in difference_lines(first, second, systems, most=cases):
        click.echo(line)


@cli.command()
@CONFIG
@OVERRIDES
@click.option("--force", is_flag=True, help="Make it the champion without a comparison.")
def promote(config: Path, overrides: Sequence[str], force: bool) -> None:
    """Register the calibrated student; make it the champion if it beats the present one.

    Runs the stage calibrate first, and all stages that it needs.
    """
    from mint_ray.commands.promote import promote as promote_student
    from mint_ray.pipeline import graph as pipeline
    from mint_ray.pipeline.progress import Progress

    resolved = _load(config, overrides)
    _run(resolved, pipeline.needed_for("calibrate", resolved), None)
    promote_student(resolved, Progress().say, force=force)


@cli.command()
@CONFIG
@OVERRIDES
def serve(config: Path, overrides: Sequence[str]) -> None:
    """Answer over HTTP with the config's students (section serving), until stopped."""
    from mint_ray.pipeline.progress import Progress
    from mint_ray.serving.deploy.local import serve_until_stopped

    say = Progress().say
    try:
        serve_until_stopped(_load(config, overrides), say)
    except KeyboardInterrupt:
        say("stopped")
        raise click.exceptions.Exit(INTERRUPTED) from None


@cli.command()
@click.argument("student")
@click.option("--out", required=True, type=PATH, help="Folder to write.")
@click.option("--force", is_flag=True, help="Replace the folder if it exists.")
@TRACKING
def export(student: str, out: Path, force: bool, tracking: str | None) -> None:
    """Merge a student into its base model, as a plain Hugging Face folder with files to serve it.

    STUDENT is a folder with a student, or models:/NAME@champion.
    """
    with _student_folder(student, tracking) as folder:
        from mint_ray.students.export import export_student

        export_student(folder, out, force=force)
    click.echo(f"exported to {out}: {', '.join(sorted(file.name for file in out.iterdir()))}")


@cli.group()
def registry() -> None:
    """List, compare and roll back registered students."""


@registry.command(name="list")
@TRACKING
def list_students(tracking: str | None) -> None:
    """Show every version, newest first."""
    from mint_ray.tracking.registry_table import version_lines

    for line in version_lines(_registry(tracking)):
        click.echo(line)


@registry.command(name="compare")
@click.argument("name")
@click.argument("first", type=int)
@click.argument("second", type=int)
@TRACKING
def compare_versions(name: str, first: int, second: int, tracking: str | None) -> None:
    """Show two versions of a student side by side."""
    from mint_ray.tracking.registry_table import comparison_lines

    for line in comparison_lines(_registry(tracking), name, first, second):
        click.echo(line)


@registry.command()
@click.argument("name")
@TRACKING
def rollback(name: str, tracking: str | None) -> None:
    """Make the champion's predecessor the champion again."""
    version = _registry(tracking).roll_back(name)
    click.echo(f"{name} version {version.number} is the champion again")


@cli.command()
@click.option(
    "--student",
    required=True,
    help="An adapter folder, the folder of a step with a student, or models:/NAME@champion.",
)
@click.option("--cases", required=True, type=PATH, help=_CASES)
@click.option("--out", required=True, type=PATH, help="Predictions are written here, as parquet.")
@click.option("--top-k", default=10, show_default=True, type=click.IntRange(1))
@TRACKING
def predict(student: str, cases: Path, out: Path, top_k: int, tracking: str | None) -> None:
    """Rank the catalogue for new cases with a finished student."""
    from mint_ray.commands.predict import predict as predict_cases
    from mint_ray.commands.predict import report
    from mint_ray.pipeline.progress import Progress

    with _student_folder(student, tracking) as folder:
        counts = predict_cases(folder, cases, out, top_k)
    report(counts, student, cases, out, Progress().say)


@cli.command()
def doctor() -> None:
    """Show versions, devices, Ray, tracking and cached assets; name what is missing."""
    from mint_ray.commands.doctor import examine

    missing = examine(click.echo)
    if missing:
        raise MintError(f"{missing} item(s) missing; install them as shown above")


def _registry(tracking: str | None) -> "Registry":
    from mint_ray.tracking.registry import Registry
    from mint_ray.tracking.tracker import tracking_uri

    return Registry(tracking_uri(tracking, Config().store))


@contextmanager
def _student_folder(student: str, tracking: str | None) -> Iterator[Path]:
    """Yield a student's folder; a registered student is downloaded for the body only."""
    from mint_ray.tracking.registry import SCHEME

    if not student.startswith(SCHEME):
        yield Path(student)
        return
    with tempfile.TemporaryDirectory(prefix="mint-student-") as folder:
        yield _registry(tracking).download(student, Path(folder))


def _load(config: Path, overrides: Sequence[str]) -> Config:
    resolved = load_run(config, overrides)
    submitted = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
    if submitted and not Path(resolved.store).is_absolute():
        raise ConfigError(
            f"store={resolved.store} is relative, but a submitted job runs in a temporary copy of "
            "the working directory; give an absolute path that every node sees: store=/path"
        )
    return resolved


def _run(config: Config, steps: Any, force: str | None) -> None:
    from mint_ray.commands.results import show_result
    from mint_ray.pipeline import graph as pipeline
    from mint_ray.pipeline.progress import Progress

    progress = Progress()
    progress.say(f"run {config.name}, seed {config.seed}, store {Path(config.store).absolute()}")
    pipeline.run_steps(config, steps, force, progress)
    last = pipeline.plan(config)[steps[-1].name]
    show_result(last.step.name, last.folder, config)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: words after `mint`; None for those of the process.
    """
    handler: Callable[..., Any] = cli.main
    words = list(arguments) if arguments is not None else None
    try:
        code = handler(args=words, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        return _interrupted()
    except Exception as error:
        from mint_ray.commands.failures import find_mint_error, was_interrupted

        if was_interrupted(error):
            return _interrupted()
        found = find_mint_error(error)
        if found is None:
            raise
        click.echo(f"mint: {type(found).__name__}: {found}", err=True)
        return 1
    return code if isinstance(code, int) else 0  # the code of click.exceptions.Exit


def _interrupted() -> int:
    click.echo("mint: interrupted; the same command continues", err=True)
    return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
