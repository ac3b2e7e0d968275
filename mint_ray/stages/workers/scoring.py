"""The scores of a finished student for cases whose answer is known, on Ray Data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from mint_ray.config.config import Config
from mint_ray.evaluation.calibration.scores import SCORES_SCHEMA
from mint_ray.runtime.inference import CaseInference, infer
from mint_ray.stages.workers.rankers import (
    STUDENT_BATCH,
    StudentRanker,
    known_answers,
    student_columns,
)
from mint_ray.tasks.task import TASKS


class CaseScorer(StudentRanker):
    """The Ray Data actor; see `StudentRanker`. Gives rows of `SCORES_SCHEMA`."""

    def __call__(self, cases: pa.Table) -> pa.Table:
        seen = cases[self._task.input_modality].to_pylist()
        known = known_answers(cases, self._catalogue)
        refusals = [self._task.why_unusable(item) for item in seen]
        usable = [place for place, refusal in enumerate(refusals) if refusal is None]
        scores = self._ranker.score([seen[p] for p in usable], [known[p] for p in usable])
        scored = dict(zip(usable, scores, strict=True))
        rows: list[dict[str, Any]] = []
        for place, row in enumerate(cases.select(["case_id", "group_id"]).to_pylist()):
            if refusals[place] is not None:
                rows.append(row | {"scores": [], "reason": refusals[place]})
                continue
            found = scored[place]
            rows.append(row | {"scores": found.own.tolist(), "answer_rank": found.answer_rank})
        return pa.Table.from_pylist(rows, SCORES_SCHEMA)


def score_cases(
    config: Config, student: Path, cases: Path, wanted: frozenset[str], output: Path
) -> pa.Table:
    """Let a student score the catalogue of a cases step for some of its cases; resumable.

    Returns:
        Rows of `SCORES_SCHEMA`, sorted by case.
    """
    tree: Mapping[str, Any] = config.model_dump(
        mode="json", include={"evaluation", "resources", "student", "task"}
    )
    arguments = {
        "student": str(student),
        "catalogue": str(cases / "catalogue.parquet"),
        "settings": {**tree, "k": config.preferences.chosen_size},
    }
    columns = student_columns(TASKS[config.task])
    job = CaseInference(CaseScorer, arguments, columns, SCORES_SCHEMA, STUDENT_BATCH)
    return infer(job, cases / "cases.parquet", output, config.resources, only=wanted)
