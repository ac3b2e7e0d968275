"""Provenance of an evaluation, from the manifests of the steps that led to it."""

import subprocess
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from mint_ray.errors import DataError
from mint_ray.pipeline.manifest import Manifest, read_manifest
from mint_ray.pipeline.steps import StepContext
from mint_ray.reports.evaluation.gather import Provenance
from mint_ray.reports.evaluation.report import LineageStep
from mint_ray.runtime.metrics_stream import read_metrics_lines


def read_provenance(context: StepContext) -> Provenance:
    """Read the provenance of an evaluation from the manifests of earlier steps.

    Raises:
        DataError: the folder of an earlier step has no manifest.
    """
    manifests = read_lineage(context.output.parent, context.inputs.values())
    return Provenance(
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        lineage=[_step_of(manifest) for manifest in manifests.values()],
        rejected=Counter(manifests["cases"].rejected) + Counter(manifests["prefer"].rejected),
        versions=manifests["cases"].versions,
        training=read_metrics_lines(context.inputs["train"]),
        teacher_revision=manifests["prefer"].facts.get("teacher"),
        commit=_commit(),
        knowledge=manifests["cases"].facts.get("knowledge"),
    )


def read_lineage(store: Path, folders: Iterable[Path]) -> dict[str, Manifest]:
    """Read the manifests of some steps and of all steps that led to them, by stage.

    A step comes after its inputs, which are found in the store by their folders' names.

    Raises:
        DataError: a folder has no manifest.
    """
    manifests: dict[str, Manifest] = {}

    def visit(folder: Path) -> None:
        manifest = read_manifest(folder)
        if manifest is None:
            raise DataError(f"{folder} has no manifest; run the pipeline again")
        for name in manifest.inputs.values():
            visit(store / name)
        manifests[manifest.stage] = manifest

    for folder in folders:
        visit(folder)
    return manifests


def _step_of(manifest: Manifest) -> LineageStep:
    return LineageStep(
        stage=manifest.stage,
        step_id=manifest.key,
        inputs=list(manifest.inputs.values()),
        rows_in=manifest.rows_in,
        rows_out=manifest.rows_out,
        rejected=sum(manifest.rejected.values()),
        seconds=manifest.wall_seconds,
    )


def _commit() -> str | None:
    """Return the commit of the code; None if it does not run from a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
