"""One system's rankings of the tested cases, on Ray Data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from mint_ray.evaluation.perturbed_cases import PLAIN, key_of, of_variation
from mint_ray.pipeline.steps import StepContext
from mint_ray.runtime.inference import CaseInference, infer
from mint_ray.stages.workers.rankers import (
    RANKED_SCHEMA,
    STUDENT_BATCH,
    TEACHER_BATCH,
    TEACHER_COLUMNS,
    StudentRanker,
    TeacherRanker,
    ranking_depth,
    student_columns,
)
from mint_ray.tasks.task import TASKS


def rank_cases(
    context: StepContext,
    system: str,
    tested: frozenset[str],
    n_labels: int,
    *,
    free: Sequence[str] = (),
    variations: Sequence[str] = (PLAIN,),
    source: Path | None = None,
) -> dict[str, pa.Table]:
    """Rows of `RANKED_SCHEMA` by variation; resumable.

    Args:
        system: `teacher`, `base` or `student`.
        tested: cases to rank.
        n_labels: size of the catalogue.
        free: cases that a student also answers freely.
        variations: ways in which each case is asked about.
        source: the file of `write_asked` with those; None for the plain cases.
    """
    config, cases = context.config, context.inputs["cases"]
    arguments: dict[str, Any] = {
        "catalogue": str(cases / "catalogue.parquet"),
        "stain": config.seed,
    }
    if system == "teacher":
        arguments |= {
            "teacher": str(context.inputs["teach"]),
            "top_k": ranking_depth(config.task, n_labels, config.evaluation.top_k),
            "worst": config.preferences.rejected_size,
        }
        job = CaseInference(TeacherRanker, arguments, TEACHER_COLUMNS, RANKED_SCHEMA, TEACHER_BATCH)
    else:
        tree = config.model_dump(
            mode="json", include={"evaluation", "resources", "student", "task"}
        )
        arguments |= {
            "student": None if system == "base" else str(context.inputs["train"]),
            "settings": tree | {"k": config.preferences.chosen_size},
            "generate": list(free),
        }
        columns = student_columns(TASKS[config.task])
        job = CaseInference(StudentRanker, arguments, columns, RANKED_SCHEMA, STUDENT_BATCH)
    ranked = infer(
        job,
        source or cases / "cases.parquet",
        context.output / "ranked" / system,
        config.resources,
        only=frozenset(key_of(case_id, end) for case_id in tested for end in variations),
    )
    return {end: of_variation(ranked, end, tested) for end in variations}
