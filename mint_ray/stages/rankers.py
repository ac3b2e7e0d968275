"""The Ray Data actors that rank the catalogue for batches of cases: teacher and student."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mint_ray.config import EvaluationConfig, ResourcesConfig, StudentConfig
from mint_ray.evaluation.predictions import PREDICTION_SCHEMA, rank_scores
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.grounding import Grounder
from mint_ray.teachers.base import SEEN_COLUMNS, batch_of, load_teacher

LISTED = pa.list_(pa.struct([f for f in PREDICTION_SCHEMA if f.name not in ("case_id", "system")]))
RANKED_SCHEMA = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("listed", LISTED, nullable=False),  # best first; then the known answer's row
        pa.field("generated", LISTED, nullable=False),  # grounded names of a free answer
        pa.field("worst", pa.list_(pa.string()), nullable=False),  # the teacher's last q labels
        pa.field("shortened", pa.bool_(), nullable=False),  # the note lost its tail
    ]
)
TEACHER_COLUMNS = ("case_id", "label_id", *SEEN_COLUMNS)
STUDENT_COLUMNS = ("case_id", "label_id", "note")


class TeacherRanker:
    """Ranks by the teacher's scores; also lists its `worst` labels."""

    def __init__(self, teacher: str, catalogue: str, top_k: int, worst: int) -> None:
        self._teacher = load_teacher(Path(teacher))
        self._catalogue = Catalogue.read(Path(catalogue))
        self._top_k, self._worst = top_k, worst

    def __call__(self, cases: pa.Table) -> pa.Table:
        scores = self._teacher.score(batch_of(cases))
        catalogue, case_ids = self._catalogue, cases["case_id"].to_pylist()
        predictions = rank_scores(
            "teacher",
            case_ids,
            scores,
            catalogue.ids,
            catalogue.names,
            known_answers(cases, catalogue),
            self._top_k,
        )
        listed: dict[str, list[dict[str, Any]]] = {case_id: [] for case_id in case_ids}
        for row in predictions.drop_columns(["system"]).to_pylist():
            listed[row.pop("case_id")].append(row)
        worst = np.argsort(scores, axis=1, kind="stable")[:, : self._worst]
        return _ranked(
            [
                {"case_id": c, "listed": listed[c], "worst": [catalogue.ids[i] for i in last]}
                for c, last in zip(case_ids, worst, strict=True)
            ]
        )


class StudentRanker:
    """Ranks the catalogue names by a student's likelihood; answers some cases freely too.

    Args:
        student: folder of a finished student, None for the base model alone.
        catalogue: labels that may be answered.
        settings: evaluation, resources, student sections and `k`, as plain values.
        generate: cases that are also answered by free generation.
    """

    def __init__(
        self,
        student: str | None,
        catalogue: str,
        settings: Mapping[str, Any],
        generate: Sequence[str] = (),
    ) -> None:
        from mint_ray.stages.ray_train import use_resources
        from mint_ray.students.ranking import Ranker
        from mint_ray.students.student import load_base_student, load_student

        use_resources(ResourcesConfig.model_validate(settings["resources"]))
        self._evaluation = EvaluationConfig.model_validate(settings["evaluation"])
        self._catalogue = Catalogue.read(Path(catalogue))
        self._student = (
            load_base_student(StudentConfig.model_validate(settings["student"]), settings["k"])
            if student is None
            else load_student(Path(student))
        )
        self._ranker = Ranker(
            self._student,
            self._catalogue.names,
            top_k=self._evaluation.top_k,
            search=self._evaluation.search,
            beam_width=self._evaluation.beam_width,
        )
        self._grounder, self._generate = Grounder(self._catalogue), frozenset(generate)

    def __call__(self, cases: pa.Table) -> pa.Table:
        notes = cases["note"].to_pylist()
        known = known_answers(cases, self._catalogue)
        free = self._answer_freely(cases)
        rows = []
        rankings = self._ranker.rank(notes, known)
        for case_id, ranking, answer in zip(
            cases["case_id"].to_pylist(), rankings, known, strict=True
        ):
            places = list(enumerate(zip(ranking.labels, ranking.probabilities, strict=True), 1))
            listed = [self._row(rank, label, p) for rank, (label, p) in places]
            beyond = answer is not None and answer not in ranking.labels
            if beyond and ranking.answer_rank is not None:
                listed.append(self._row(ranking.answer_rank, answer, ranking.answer_probability))
            rows.append(
                {
                    "case_id": case_id,
                    "listed": listed,
                    "generated": free.get(case_id, []),
                    "shortened": ranking.shortened,
                }
            )
        return _ranked(rows)

    def _row(self, rank: int, label: int | None, probability: float | None) -> dict[str, Any]:
        found = self._catalogue.label(label or 0)
        return {
            "rank": rank,
            "label_id": found.label_id,
            "text": found.name,
            "probability": probability,
        }

    def _answer_freely(self, cases: pa.Table) -> dict[str, list[dict[str, Any]]]:
        from mint_ray.students.generation import generate
        from mint_ray.students.prompts import parse_answer

        wanted = [
            row
            for row in cases.select(["case_id", "note"]).to_pylist()
            if row["case_id"] in self._generate
        ]
        notes = [row["note"] for row in wanted]
        texts = generate(self._student, notes, self._evaluation.max_new_tokens) if wanted else []
        return {
            row["case_id"]: [
                {"rank": rank, "label_id": self._grounder.ground(name), "text": name}
                # An answer without a list counts as one that names nothing in the catalogue.
                for rank, name in enumerate(parse_answer(text)[: self._evaluation.top_k] or [""], 1)
            ]
            for row, text in zip(wanted, texts, strict=True)
        }


def known_answers(cases: pa.Table, catalogue: Catalogue) -> list[int | None]:
    """Catalogue index of each case's known answer; None where it has none or the catalogue."""
    return [
        None if label is None else catalogue.index_of(label)
        for label in cases["label_id"].to_pylist()
    ]


def _ranked(rows: list[dict[str, Any]]) -> pa.Table:
    empty = {"generated": [], "worst": [], "shortened": False}
    return pa.Table.from_pylist([empty | row for row in rows], RANKED_SCHEMA)


def predictions_of(ranked: pa.Table, system: str, column: str = "listed") -> pa.Table:
    """Rows of `PREDICTION_SCHEMA` from one column of lists."""
    rows = [
        {"case_id": row["case_id"], "system": system, **listed}
        for row in ranked.select(["case_id", column]).to_pylist()
        for listed in row[column]
    ]
    return pa.Table.from_pylist(rows, PREDICTION_SCHEMA)
