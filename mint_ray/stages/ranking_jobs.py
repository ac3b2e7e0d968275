"""One system's rankings of the tested cases, on Ray Data."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mint_ray.stages.inference import CaseInference, infer
from mint_ray.stages.rankers import (
    RANKED_SCHEMA,
    TEACHER_COLUMNS,
    StudentRanker,
    TeacherRanker,
    ranking_depth,
    student_columns,
)
from mint_ray.steps import StepContext
from mint_ray.students.prompts import TASKS

STUDENT_BATCH = 8
TEACHER_BATCH = 128


@dataclass(frozen=True)
class Variation:
    """What a control does otherwise."""

    name: str
    """End of the system's name."""
    source: Path | None = None
    """Cases to read in place of the stage's own."""
    stain: int | None = None
    """Seed of a stain shift."""


NO_VARIATION = Variation("")


def rank_cases(
    context: StepContext,
    system: str,
    tested: frozenset[str],
    n_labels: int,
    *,
    free: Sequence[str] = (),
    variation: Variation = NO_VARIATION,
) -> pa.Table:
    """Rows of `RANKED_SCHEMA`; resumable.

    Args:
        system: `teacher`, `base` or `student`.
        tested: cases to rank.
        n_labels: size of the catalogue.
        free: cases that a student also answers freely.
    """
    config, cases = context.config, context.inputs["cases"]
    arguments: dict[str, Any] = {
        "catalogue": str(cases / "catalogue.parquet"),
        "stain": variation.stain,
    }
    if system == "teacher":
        arguments |= {
            "teacher": str(context.inputs["teach"]),
            "top_k": ranking_depth(config.task, n_labels, config.evaluation.top_k),
            "worst": config.preferences.q,
        }
        job = CaseInference(TeacherRanker, arguments, TEACHER_COLUMNS, RANKED_SCHEMA, TEACHER_BATCH)
    else:
        tree = config.model_dump(
            mode="json", include={"evaluation", "resources", "student", "task"}
        )
        arguments |= {
            "student": None if system == "base" else str(context.inputs["train"]),
            "settings": tree | {"k": config.preferences.k},
            "generate": list(free),
        }
        columns = student_columns(TASKS[config.task])
        job = CaseInference(StudentRanker, arguments, columns, RANKED_SCHEMA, STUDENT_BATCH)
    output = context.output / "ranked" / f"{system}{variation.name}"
    source = variation.source or cases / "cases.parquet"
    return infer(job, source, output, config.resources, only=tested)
