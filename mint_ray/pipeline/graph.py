"""Step graph of the pipeline: order, output folders and runs of the steps.

A step is a frozen record: its name, its inputs and the settings that change its result. Its
output folder is `<store>/<name>-<8 hex>`, with a hash of exactly these. A step whose manifest says
complete is never run again. There is no mutable index: the folders are the state.
"""

import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mint_ray.common.digests import digest_of, sha256
from mint_ray.common.folders import files_below
from mint_ray.config.config import Config
from mint_ray.config.former_names import (
    NEWER_SETTINGS,
    under_former_names,
    without_newer_defaults,
)
from mint_ray.errors import ConfigError
from mint_ray.pipeline.extra_inputs import ExtraInput, outputs_of_systems
from mint_ray.pipeline.locks import hold_for_reading, hold_for_writing
from mint_ray.pipeline.manifest import Manifest, read_manifest, write_manifest
from mint_ray.pipeline.progress import Progress
from mint_ray.pipeline.seal import check_complete, seal_files
from mint_ray.pipeline.steps import STEPS, Step, StepContext, StepOutcome
from mint_ray.tracking.tracker import NullTracker, Tracker, create_tracker
from mint_ray.tuning.space import with_overrides

logger = logging.getLogger(__name__)

HASHED_WHOLE = 2**30
"""Size in bytes up to which an input file is hashed whole; see `_file_digest`."""

START = "student.init_adapter"
"""Setting that names the student that a training continues from; see `resolve`."""

_PIECES, _PIECE_BYTES = 256, 2**16


@dataclass(frozen=True)
class PlannedStep:
    """A step with its hash, its output folder and the settings that its hash covers."""

    step: Step
    key: str
    folder: Path
    slice: Mapping[str, Any]

    @property
    def complete(self) -> bool:
        """Whether the folder's manifest says that the step is complete."""
        manifest = read_manifest(self.folder)
        return manifest is not None and manifest.complete


def plan(config: Config, start: Path | None = None) -> dict[str, PlannedStep]:
    """Return every step with its output folder, by name, without running anything.

    Args:
        config: the resolved config.
        start: folder of the `train` step that `student.init_adapter` names, if another system's
            training writes it. It counts by its name, as inputs do, and not by its files: it need
            not exist yet, and its checkpoints may be deleted later.

    Raises:
        ConfigError: a file that a setting names does not exist, or cannot be read.
    """
    planned: dict[str, PlannedStep] = {}
    tree = config.model_dump(mode="json")
    defaults = Config().model_dump(mode="json")
    hashed_tree = under_former_names(without_newer_defaults(tree, defaults))
    for step in STEPS:
        contents = {
            name: start.name if start and name == START else _fingerprint(name, _lookup(tree, name))
            for name in step.files
            # A newer setting that has its default is not hashed, so neither is its absent file.
            if _section_below(hashed_tree, name) is not None
        }
        settings = {name: _lookup(tree, name) for name in step.settings} | contents
        named = {
            name: content
            for name, content in contents.items()
            if content is not None or name not in NEWER_SETTINGS
        }
        hashed = {
            name: _lookup(hashed_tree, name) for name in step.settings if _holds(hashed_tree, name)
        } | named
        record = {
            "name": step.name,
            "version": step.version_for(config),
            "settings": hashed,
            "inputs": {name: planned[name].key for name in step.inputs_of(config)}
            | {
                name: plan(*resolve(extra, start))[extra.step].key
                for name, extra in step.hashed_inputs(config).items()
            },
        }
        text = json.dumps(_without(record, (*step.files, *step.unhashed)), sort_keys=True)
        key = digest_of(text)[:8]
        folder = Path(config.store).absolute() / f"{step.name}-{key}"
        planned[step.name] = PlannedStep(step, key, folder, settings)
    return planned


def resolve(extra: ExtraInput, start: Path | None = None) -> tuple[Config, Path | None]:
    """Return the config of an extra input, and the folder of the student that it starts from.

    Args:
        extra: the input.
        start: folder of the student that the reading step starts from, which holds for an input
            without a start of its own.
    """
    if extra.start is None:
        return extra.config, start
    folder = plan(*resolve(extra.start))[extra.start.step].folder
    return with_overrides(extra.config, {START: str(folder)}), folder


def _lookup(tree: Mapping[str, Any], dotted: str) -> Any:
    node: Any = tree
    for part in dotted.split("."):
        node = node[part]
    return node


def _without(record: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return the record without some settings, such as paths, whose content counts instead."""
    copy: dict[str, Any] = json.loads(json.dumps(record))
    for setting, value in copy["settings"].items():
        for name in names:
            if name.startswith(f"{setting}.") and isinstance(value, dict):
                below = name.removeprefix(f"{setting}.")
                section = _section_below(value, below)
                if section is not None:
                    section.pop(below.rpartition(".")[2], None)
    return copy


def _section_below(tree: Mapping[str, Any], dotted: str) -> dict[str, Any] | None:
    """Return the section of a tree that would hold a setting; None if it is absent."""
    node: Any = tree
    for part in dotted.split(".")[:-1]:
        node = node.get(part) if isinstance(node, Mapping) else None
    return node if isinstance(node, dict) else None


def _holds(tree: Mapping[str, Any], dotted: str) -> bool:
    """Return whether a tree holds a setting; a newer one that has its default is left out."""
    section = _section_below(tree, dotted)
    return section is not None and dotted.rpartition(".")[2] in section


def _fingerprint(name: str, value: str | None) -> str | None:
    """Return the content hash of the file or folder that a setting names.

    None and the word `from_cases` name no file and are returned as they are.
    """
    if value is None or value == "from_cases":
        return value
    path = Path(value)
    if not path.exists():
        raise ConfigError(f"{name}={value}: no such file or folder")
    parts: list[str | bytes] = []
    try:
        below = [] if path.is_file() else [path / found.name for found in files_below(path)]
        files = sorted(file for file in below or [path] if file.is_file())
        for file in files:
            parts += [file.relative_to(path).as_posix(), bytes.fromhex(_file_digest(file))]
    except OSError as error:
        raise ConfigError(f"{name}={value}: cannot be read: {error}") from error
    return digest_of(*parts)[:16]


def _file_digest(file: Path) -> str:
    """Return the hash of a file's content.

    Of a file above `HASHED_WHOLE`, only size, time of change and evenly spaced pieces are hashed:
    reading tens of gigabytes before every command would take minutes. A file that has not changed
    is read once: a comparison plans as many configs as it has systems and trials.
    """
    status = file.stat()
    return _digest_at(file, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=2**16)
def _digest_at(file: Path, size: int, changed_ns: int) -> str:
    if size <= HASHED_WHOLE:
        return sha256(file)
    pieces = []
    with file.open("rb") as stream:
        for piece in range(_PIECES):
            stream.seek(piece * (size - _PIECE_BYTES) // (_PIECES - 1))
            pieces.append(stream.read(_PIECE_BYTES))
    return digest_of(f"{size} {changed_ns}", *pieces)


def select(config: Config, until: str | None = None) -> list[Step]:
    """Return the steps up to and including `until`, in order.

    Steps that run on request are left out unless a step reads them with this config.

    Raises:
        ConfigError: there is no stage `until`, or it runs on request only.
    """
    usual = [step for step in STEPS if not step.on_request]
    names = [step.name for step in usual]
    if until is not None:
        check_known(until)
        if until not in names:
            raise ConfigError(f"stage {until} runs on request only: mint {until} CONFIG")
        names = names[: names.index(until) + 1]
    return _with_inputs(set(names), config)


def check_known(stage: str) -> None:
    """Raise ConfigError if `stage` is not a known stage."""
    names = [step.name for step in STEPS]
    if stage not in names:
        raise ConfigError(f"unknown stage {stage!r}; stages are {', '.join(names)}")


def needed_for(name: str, config: Config) -> list[Step]:
    """Return a stage and all stages that it needs, in order."""
    return _with_inputs({name}, config)


def _with_inputs(wanted: set[str], config: Config) -> list[Step]:
    """Return the named steps and all steps that they need, in order."""
    for step in reversed(STEPS):
        if step.name in wanted:
            wanted |= {*step.inputs_of(config)}
    return [step for step in STEPS if step.name in wanted]


def run_steps(
    config: Config,
    steps: list[Step],
    force: str | None,
    progress: Progress,
    start: Path | None = None,
) -> None:
    """Run the steps that are not complete, in order.

    Args:
        config: the resolved config.
        steps: the steps to bring up to date.
        force: a stage whose output is discarded first.
        progress: display for people.
        start: folder of the student that the training continues from; see `plan`.

    Raises:
        MintError: a stage failed; steps that were complete before stay complete.
    """
    planned = plan(config, start)
    # Before any work, so that a config that cannot be used is refused at once.
    extras = {step.name: step.extra_inputs(config) for step in steps}
    tracking = config.tracking
    tracker = create_tracker(
        tracking.enabled, tracking.uri, tracking.experiment, Path(config.store).absolute()
    )
    for step in steps:
        item = planned[step.name]
        inputs = {name: planned[name].folder for name in step.inputs_of(config)}
        forced = force == step.name
        if forced or not item.complete:
            for name, extra in extras[step.name].items():
                progress.say(f"{step.name:<9} needs {name}")
                inputs[name] = _run_extra_input(extra, progress, start)
            if _run_step(config, item, inputs, tracker, progress, forced):
                continue
        progress.skip(step.name, item.key)
        tracker.flush(step.name, item.folder.name, item.folder)


def run_systems(config: Config, names: Sequence[str], progress: Progress) -> None:
    """Run the steps behind some of the compared systems, and compare nothing.

    Several processes can do so with one store, each with systems of its own: a later `compare`
    finds their steps finished.

    Args:
        config: with the section `compare`.
        names: systems, also those that others only start from.
        progress: display for people.

    Raises:
        ConfigError: there is no such system.
        MintError: a stage failed, or another process runs a step that two systems share.
    """
    outputs = outputs_of_systems(config)
    for name in names:
        if name not in outputs:
            known = ", ".join(outputs) or "none"
            raise ConfigError(f"--only {name}: expected a system of this comparison: {known}")
    for name in names:
        _run_extra_input(outputs[name], progress)


def _run_extra_input(extra: ExtraInput, progress: Progress, start: Path | None = None) -> Path:
    """Bring an extra input up to date, after the student that it starts from; return its folder."""
    if extra.start is not None:
        _run_extra_input(extra.start, progress)
    config, start = resolve(extra, start)
    run_steps(config, needed_for(extra.step, config), None, progress, start)
    return plan(config, start)[extra.step].folder


def _run_step(
    config: Config,
    item: PlannedStep,
    inputs: Mapping[str, Path],
    tracker: Tracker | NullTracker,
    progress: Progress,
    force: bool,
) -> bool:
    """Run a step under its lock; return False if another process completed it in the meantime.

    The lock comes first. What is discarded, and whether there is work at all, is decided under it.
    """
    with ExitStack() as locks:
        locks.enter_context(hold_for_writing(item.folder))
        if force and item.folder.exists():
            shutil.rmtree(item.folder)
        elif item.complete:
            return False
        for name, folder in inputs.items():
            locks.enter_context(hold_for_reading(folder))
            check_complete(folder, item.step.name, name)
        item.folder.mkdir(exist_ok=True)
        _work(config, item, inputs, tracker, progress)
    return True


def _work(
    config: Config,
    item: PlannedStep,
    inputs: Mapping[str, Path],
    tracker: Tracker | NullTracker,
    progress: Progress,
) -> None:
    step = item.step
    version = step.version_for(config)
    manifest = Manifest.start(step.name, item.key, version, item.slice, inputs, config.seed)
    write_manifest(item.folder, manifest)
    names = {name: folder.name for name, folder in inputs.items()}
    start = time.monotonic()
    with (
        progress.stage(step.name, step.about) as handle,
        tracker.run(step.name, item.folder.name, item.folder, names) as run,
    ):
        run.log_params(dict(item.slice))
        outcome = step.load()(StepContext(config, item.key, inputs, item.folder, run, handle))
        run.log_metrics({**outcome.metrics, **_count_metrics(outcome)})
        manifest = manifest.finish(
            rows_in=outcome.rows_in,
            rows_out=outcome.rows_out,
            rejected=dict(outcome.rejected),
            facts=dict(outcome.facts),
            metrics=dict(outcome.metrics),
            wall_seconds=time.monotonic() - start,
            files=seal_files(item.folder),
        )
        write_manifest(item.folder, manifest)
        run.log_artifact(item.folder / "manifest.json")
    progress.done(step.name, item.key, manifest)


def _count_metrics(outcome: StepOutcome) -> dict[str, float]:
    counts = {f"rejected.{reason}": float(n) for reason, n in outcome.rejected.items()}
    return {"rows_in": outcome.rows_in, "rows_out": outcome.rows_out, **counts}
