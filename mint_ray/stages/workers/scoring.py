"""Rankings and scores of a finished student for cases whose answer is known, on Ray Data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from mint_ray.config.config import Config
from mint_ray.evaluation.calibration.scores import SCORES_SCHEMA
from mint_ray.runtime.inference import CaseInference, WantedCases, infer, infer_together
from mint_ray.stages.workers.rankers import (
    RANKED_SCHEMA,
    STUDENT_BATCH,
    StudentRanker,
    known_answers,
    predictions_of,
    scores_row,
    student_columns,
)
from mint_ray.tasks.task import TASKS

NAMED_SCORES_SCHEMA = SCORES_SCHEMA.append(pa.field("labels", pa.list_(pa.int32()), nullable=False))
"""Scores, and the position in the catalogue of the name that each belongs to."""


class CaseScorer(StudentRanker):
    """Ray Data actor that returns rows of `SCORES_SCHEMA`; see `StudentRanker`."""

    schema = SCORES_SCHEMA

    def __call__(self, cases: pa.Table) -> pa.Table:
        inputs = cases[self._task.input_modality].to_pylist()
        known = known_answers(cases, self._catalogue)
        reasons = [self._task.why_unusable(item) for item in inputs]
        usable = [index for index, reason in enumerate(reasons) if reason is None]
        scores = self._ranker.score([inputs[i] for i in usable], [known[i] for i in usable])
        scored = dict(zip(usable, scores, strict=True))
        rows: list[dict[str, Any]] = []
        for index, row in enumerate(cases.select(["case_id", "group_id"]).to_pylist()):
            if reasons[index] is not None:
                rows.append(row | {"scores": [], "labels": [], "reason": reasons[index]})
                continue
            rows.append(row | scores_row(scored[index]))
        return pa.Table.from_pylist(rows, self.schema)


class NamedCaseScorer(CaseScorer):
    """Ray Data actor that returns rows of `NAMED_SCORES_SCHEMA`; see `StudentRanker`."""

    schema = NAMED_SCORES_SCHEMA


def score_cases(
    config: Config,
    student: Path | None,
    cases: Path,
    wanted: frozenset[str],
    output: Path,
    scorer: type[CaseScorer] = CaseScorer,
) -> pa.Table:
    """Let a student score the catalogue of a cases step for some of its cases; resumable.

    Args:
        config: settings of evaluation, resources and student.
        student: folder of a finished student; None for the base model alone.
        cases: folder of the cases step.
        wanted: ids of the cases to score.
        output: folder of the scores, with which a repeated call continues.
        scorer: actor that scores.

    Returns:
        Rows of the scorer's schema, sorted by case.
    """
    job = _job(config, student, cases, scorer, scorer.schema)
    return infer(job, cases / "cases.parquet", output, config.resources, only=wanted)


def rank_cases(
    config: Config,
    students: Mapping[str, Path],
    cases: Path,
    wanted: frozenset[str],
    output: Path,
) -> pa.Table:
    """Let students rank the catalogue of a cases step for some of its cases; resumable.

    Args:
        config: settings of evaluation, resources and student.
        students: folders of finished students, by their names in the predictions.
        cases, wanted: as of `score_cases`.
        output: folder of the rankings, with which a repeated call continues.

    Returns:
        Rows of `PREDICTION_SCHEMA`, in the order of the students.
    """
    jobs = {
        name: WantedCases(
            _job(config, student, cases, StudentRanker, RANKED_SCHEMA),
            cases / "cases.parquet",
            wanted,
        )
        for name, student in students.items()
    }
    ranked = infer_together(jobs, output, config.resources)
    return pa.concat_tables([predictions_of(rows, name) for name, rows in ranked.items()])


def _job(
    config: Config, student: Path | None, cases: Path, actor: type[StudentRanker], schema: pa.Schema
) -> CaseInference:
    tree: Mapping[str, Any] = config.model_dump(
        mode="json", include={"evaluation", "resources", "seed", "student", "task"}
    )
    arguments = {
        "student": None if student is None else str(student),
        "catalogue": str(cases / "catalogue.parquet"),
        "settings": {**tree, "k": config.preferences.chosen_size},
    }
    columns = student_columns(TASKS[config.task])
    return CaseInference(actor, arguments, columns, schema, STUDENT_BATCH)
