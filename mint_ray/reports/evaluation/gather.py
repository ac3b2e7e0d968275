"""Contents of an evaluation's pages, gathered from its measurements and manifests."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from mint_ray.cases.schema import SPLITS
from mint_ray.config.config import Config
from mint_ray.evaluation.answers import Answers
from mint_ray.evaluation.case_sample import sampled_from
from mint_ray.evaluation.measurement import Measurement
from mint_ray.evaluation.metrics.compute import CLASS_COMPARED, COMPARED, Difference, compare
from mint_ray.evaluation.results import has_classes
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.release import describe_knowledge
from mint_ray.reports.evaluation import tiles_page
from mint_ray.reports.evaluation.examples import Example, choose_examples
from mint_ray.reports.evaluation.per_class import ClassReport, report_classes
from mint_ray.reports.evaluation.report import LineageStep, ReportContext
from mint_ray.reports.evaluation.training_curves import Rows
from mint_ray.tasks.task import TASKS
from mint_ray.tracking.mlflow_store import shown_uri

BESIDE_STUDENT = ("base", "majority", "mean_colour", "teacher")
"""Systems that the report's table of differences compares the student with."""


@dataclass(frozen=True)
class Provenance:
    """Records of the steps before the evaluation."""

    created: str
    """Date and time, as shown."""
    lineage: Sequence[LineageStep]
    rejected: Mapping[str, int]
    """Number of rows that those steps rejected, by reason."""
    versions: Mapping[str, str]
    """Versions of the packages that the cases were made with."""
    training: Rows = ()
    """Metrics of the student's optimizer steps."""
    teacher_revision: str | None = None
    commit: str | None = None
    """Commit of the code."""
    knowledge: Mapping[str, Any] | None = None
    """Fact `knowledge` of the cases; None for images."""


def gather_report(
    config: Config,
    all_cases: pa.Table,
    catalogue: Catalogue,
    answers: Answers,
    measurement: Measurement,
    provenance: Provenance,
) -> ReportContext:
    """Gather figures, examples, data card and lineage of one evaluation.

    Args:
        all_cases: columns case_id, group_id, split and label_id of all cases, tested or not.
    """
    settings = config.evaluation
    shows_images = TASKS[config.task].input_modality == "image"
    rejected_tests = Counter(
        f"{row['reason']} (tested, a miss)" for row in answers.of_student.rejected
    )
    return ReportContext(
        run_name=config.name,
        created=provenance.created,
        metrics=measurement.metrics,
        outcomes=measurement.outcomes,
        groups=len(np.unique(measurement.cases.groups)),
        bins=settings.calibration_bins,
        samples=settings.bootstrap_samples,
        student=answers.student,
        differences=_differences(config, answers.student, measurement),
        classes=_classes(config, answers.student, measurement, catalogue),
        tiles_page=tiles_page.NAME if shows_images else None,
        examples=choose_examples(
            answers.predictions,
            measurement.cases,
            measurement.outcomes,
            _names_by_id(catalogue),
            student=answers.student,
            seed=config.seed,
        ),
        training=provenance.training,
        splits=_split_counts(all_cases),
        rejected=Counter(provenance.rejected) + rejected_tests,
        notes_shortened=answers.of_student.shortened,
        tested=sampled_from(config, "test").describe(),
        data_facts={
            "Source": config.cases.source,
            "Modalities": config.cases.modalities,
            "Catalogue": f"{len(catalogue)} labels ({catalogue.revision()})",
            **_knowledge_fact(provenance),
        },
        lineage=provenance.lineage,
        teacher_revision=provenance.teacher_revision,
        config=_shown_settings(config),
        versions=provenance.versions,
        commit=provenance.commit,
    )


def _shown_settings(config: Config) -> str:
    """Return all settings as YAML, without the passwords in addresses: reports are passed on."""

    def shown(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shown(item) for key, item in value.items()}
        if isinstance(value, list):
            return [shown(item) for item in value]
        return shown_uri(value) if isinstance(value, str) and "://" in value else value

    text: str = yaml.safe_dump(shown(config.model_dump(mode="json")), sort_keys=False)
    return text


def choose_tiles(
    answers: Answers, measurement: Measurement, catalogue: Catalogue, seed: int
) -> list[Example]:
    """Choose the tested cases whose images `tiles.html` shows."""
    return choose_examples(
        answers.predictions,
        measurement.cases,
        measurement.outcomes,
        _names_by_id(catalogue),
        student=answers.student,
        count=tiles_page.MOST_TILES,
        places=tiles_page.ANSWERS,
        seed=seed,
    )


def _knowledge_fact(provenance: Provenance) -> dict[str, str]:
    if provenance.knowledge is None:
        return {}
    return {"Knowledge": describe_knowledge(provenance.knowledge)}


def _names_by_id(catalogue: Catalogue) -> dict[str, str]:
    return dict(zip(catalogue.ids, catalogue.names, strict=True))


def _differences(config: Config, student: str, measurement: Measurement) -> list[Difference]:
    """Compare the student with the systems of `BESIDE_STUDENT` that were evaluated."""
    return [
        difference
        for other in BESIDE_STUDENT
        if {student, other} <= measurement.outcomes.keys()
        for difference in compare(
            measurement.outcomes,
            measurement.cases,
            student,
            other,
            samples=config.evaluation.bootstrap_samples,
            seed=config.seed,
            metrics=CLASS_COMPARED if has_classes(measurement.metrics) else COMPARED,
        )
    ]


def _classes(
    config: Config, student: str, measurement: Measurement, catalogue: Catalogue
) -> ClassReport | None:
    """Gather figures per answer; None if the catalogue has too many answers for that."""
    if not has_classes(measurement.metrics):
        return None
    return report_classes(
        measurement.outcomes,
        measurement.cases,
        catalogue.names,
        student=student,
        samples=config.evaluation.bootstrap_samples,
        seed=config.seed,
    )


def _split_counts(cases: pa.Table) -> dict[str, dict[str, int]]:
    """Count cases, groups and labels of each split."""
    parts = {split: cases.filter(pc.equal(cases["split"], split)) for split in SPLITS}
    return {
        split: {
            "cases": part.num_rows,
            "groups": len(pc.unique(part["group_id"])),
            "labels": len(pc.unique(part["label_id"])),
        }
        for split, part in parts.items()
    }
