"""What the report of an evaluation shows, gathered from its figures and the manifests before it."""

import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds
import yaml

from mint_ray.cases.schema import SPLITS
from mint_ray.errors import DataError
from mint_ray.evaluation.metrics.compute import CLASS_COMPARED, COMPARED, Difference, compare
from mint_ray.evaluation.metrics.teacher_agreement import TeacherLists
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes
from mint_ray.evaluation.results import Metrics, has_classes
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.manifest import Manifest, read_manifest
from mint_ray.pipeline.steps import StepContext
from mint_ray.reports.evaluation import tiles_page
from mint_ray.reports.evaluation.examples import choose_examples
from mint_ray.reports.evaluation.per_class import report_classes
from mint_ray.reports.evaluation.report import LineageStep, ReportContext
from mint_ray.runtime.metrics_stream import read_metrics_lines
from mint_ray.tasks.task import TASKS


@dataclass(frozen=True)
class Answers:
    """What all systems answered."""

    predictions: pa.Table
    teacher: TeacherLists | None
    shortened: int
    generated: list[str]
    """Cases that the students also answered freely."""
    student: str
    """System name of the trained student."""
    rejected: Sequence[Mapping[str, str]] = ()
    """Rows of `REJECTED_SCHEMA`: cases that the student could not be asked about."""


@dataclass(frozen=True)
class Measured:
    """The figures, and what they were made from."""

    cases: EvaluatedCases
    outcomes: dict[str, Outcomes]
    metrics: Metrics


def report_context(
    context: StepContext,
    everything: pa.Table,
    catalogue: Catalogue,
    answers: Answers,
    measured: Measured,
) -> ReportContext:
    """Gather figures, examples, data card and lineage of one evaluation."""
    config, manifests = context.config, _lineage(context)
    cases, outcomes = measured.cases, measured.outcomes
    settings, data = config.evaluation, manifests["cases"]
    by_class = has_classes(measured.metrics)
    shows_images = TASKS[config.task].input_modality == "image"
    names = dict(zip(catalogue.ids, catalogue.names, strict=True))
    return ReportContext(
        run_name=config.name,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        metrics=measured.metrics,
        outcomes=outcomes,
        groups=len(np.unique(cases.groups)),
        bins=settings.calibration_bins,
        samples=settings.bootstrap_samples,
        student=answers.student,
        differences=_differences(context, answers.student, outcomes, cases, by_class),
        classes=report_classes(
            outcomes,
            cases,
            catalogue.names,
            student=answers.student,
            samples=settings.bootstrap_samples,
            seed=config.seed,
        )
        if by_class
        else None,
        tiles_page=tiles_page.NAME if shows_images else None,
        examples=choose_examples(
            answers.predictions, cases, outcomes, names, student=answers.student, seed=config.seed
        ),
        training=read_metrics_lines(context.inputs["train"]),
        splits=_split_counts(everything),
        rejected=Counter(data.rejected)
        + Counter(manifests["prefer"].rejected)
        + Counter(f"{row['reason']} (tested, a miss)" for row in answers.rejected),
        notes_shortened=answers.shortened,
        data_facts={
            "Source": config.cases.source,
            "Modalities": config.cases.modalities,
            "Catalogue": f"{len(catalogue)} labels ({catalogue.revision()})",
        },
        lineage=[_step_of(manifest) for manifest in manifests.values()],
        teacher_revision=manifests["prefer"].facts.get("teacher"),
        config=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
        versions=data.versions,
        commit=_commit(),
    )


def write_tiles_page(
    context: StepContext, catalogue: Catalogue, answers: Answers, measured: Measured
) -> None:
    """Write `tiles.html`: images of some tested cases beside what was said of them."""
    examples = choose_examples(
        answers.predictions,
        measured.cases,
        measured.outcomes,
        dict(zip(catalogue.ids, catalogue.names, strict=True)),
        student=answers.student,
        count=tiles_page.MOST_TILES,
        places=tiles_page.ANSWERS,
        seed=context.config.seed,
    )
    shown = pds.field("case_id").isin([example.case_id for example in examples])
    cases = pds.dataset(context.inputs["cases"] / "cases.parquet", format="parquet")
    found = cases.to_table(columns=["case_id", "image"], filter=shown)
    images = dict(zip(found["case_id"].to_pylist(), found["image"].to_pylist(), strict=True))
    tiles_page.write_tiles(
        context.output / tiles_page.NAME,
        tiles_page.make_tiles(examples, images, answers.student),
        context.config.name,
        answers.student,
    )


def _differences(
    context: StepContext,
    student: str,
    outcomes: Mapping[str, Outcomes],
    cases: EvaluatedCases,
    by_class: bool,
) -> list[Difference]:
    """The student beside what it should beat, and its teacher."""
    samples, seed = context.config.evaluation.bootstrap_samples, context.config.seed
    return [
        difference
        for other in ("base", "majority", "mean_colour", "teacher")
        if {student, other} <= outcomes.keys()
        for difference in compare(
            outcomes,
            cases,
            student,
            other,
            samples=samples,
            seed=seed,
            metrics=CLASS_COMPARED if by_class else COMPARED,
        )
    ]


def _split_counts(cases: pa.Table) -> dict[str, dict[str, int]]:
    parts = {split: cases.filter(pc.equal(cases["split"], split)) for split in SPLITS}
    return {
        split: {
            "cases": part.num_rows,
            "groups": len(pc.unique(part["group_id"])),
            "labels": len(pc.unique(part["label_id"])),
        }
        for split, part in parts.items()
    }


def _lineage(context: StepContext) -> dict[str, Manifest]:
    """Manifests of everything that led here, by stage, found through the folders' own names."""
    found: dict[str, Manifest] = {}
    store = context.output.parent

    def visit(folder: Path) -> None:
        manifest = read_manifest(folder)
        if manifest is None:
            raise DataError(f"{folder} has no manifest; run the pipeline again")
        for name in manifest.inputs.values():
            visit(store / name)
        found[manifest.stage] = manifest

    for folder in context.inputs.values():
        visit(folder)
    return found


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
    """Commit of the code where it runs from a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
