"""Ray Data actors that rank the catalogue for batches of cases: teacher and student."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mint_ray.common.arrays import Floats32
from mint_ray.common.seeds import stable_seed
from mint_ray.config.evaluation import EvaluationConfig
from mint_ray.config.preferences import PreferencesConfig
from mint_ray.config.resources import ResourcesConfig
from mint_ray.config.training import StudentConfig
from mint_ray.evaluation.calibration.calibrator import read_calibration
from mint_ray.evaluation.perturbed_cases import shift_stains
from mint_ray.evaluation.predictions import PREDICTION_SCHEMA, rank_scores
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.grounding import Grounder
from mint_ray.preferences.select import best_labels, pick, worst_labels
from mint_ray.students.ranking.rankings import Ranking, Scores
from mint_ray.tasks.task import MOST_LABELS, Task
from mint_ray.teachers.base import (
    SEEN_COLUMNS,
    batch_of,
    check_labels,
    floor_of,
    load_teacher,
    score_cases,
)

if TYPE_CHECKING:  # torch is slow to import
    from mint_ray.students.ranking.generation import Sampling

LISTED = pa.list_(pa.struct([f for f in PREDICTION_SCHEMA if f.name not in ("case_id", "system")]))
RANKED_SCHEMA = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("listed", LISTED, nullable=False),  # best first; then the known answer's row
        pa.field("generated", LISTED, nullable=False),  # grounded names of a free answer
        # The teacher's best and worst labels; empty for other systems.
        pa.field("best", pa.list_(pa.string()), nullable=False),
        pa.field("worst", pa.list_(pa.string()), nullable=False),
        pa.field("set_size", pa.int32()),  # names in the conformal set; null without calibration
        pa.field("shortened", pa.bool_(), nullable=False),  # the note lost its tail
        pa.field("reason", pa.string()),  # why the input is unusable; null otherwise
        # As in `SCORES_SCHEMA`, with the positions of the names; empty unless they are asked for.
        pa.field("scores", pa.list_(pa.float64()), nullable=False),
        pa.field("labels", pa.list_(pa.int32()), nullable=False),
        pa.field("answer_rank", pa.int32()),
        pa.field("answer_score", pa.float64()),
    ]
)
TEACHER_COLUMNS = ("group_id", "label_id", *SEEN_COLUMNS)


def student_columns(task: Task) -> tuple[str, ...]:
    """Return the columns of a case that a student's ranker reads: ids, and the student's input."""
    return ("case_id", "group_id", "label_id", task.input_modality)


def ranking_depth(task: str, n_labels: int, top_k: int) -> int:
    """Return the number of labels to rank: all of a small catalogue of tissues, else `top_k`."""
    return max(top_k, n_labels) if task == "tissue" and n_labels <= MOST_LABELS else top_k


class TeacherRanker:
    """Ray Data actor that ranks by the teacher's scores and also gives its best and worst labels.

    A case that the teacher cannot judge has no labels at all.

    Args:
        teacher: folder of a fitted teacher.
        catalogue: file of the labels that may be answered.
        top_k: number of labels to list.
        resources: the section `resources` as plain values.
        preferences: the section `preferences` as plain values, for the best and worst labels.
        stain: seed of the stain shift of cases that are perturbed by one; None if there are none.
    """

    def __init__(
        self,
        teacher: str,
        catalogue: str,
        top_k: int,
        resources: Mapping[str, Any],
        preferences: Mapping[str, Any],
        stain: int | None = None,
    ) -> None:
        from mint_ray.runtime.ray_train import use_resources

        use_resources(ResourcesConfig.model_validate(resources))  # before a GPU is looked for
        self._teacher = load_teacher(Path(teacher))
        self._catalogue = Catalogue.read(Path(catalogue))
        check_labels(self._teacher, self._catalogue.ids)
        self._preferences = PreferencesConfig.model_validate(preferences)
        self._top_k, self._stain = top_k, stain

    def __call__(self, cases: pa.Table) -> pa.Table:
        cases = shift_stains(cases, self._stain)
        scores, floor = score_cases(self._teacher, batch_of(cases)), floor_of(self._teacher)
        catalogue, case_ids = self._catalogue, cases["case_id"].to_pylist()
        known = known_answers(cases, catalogue)
        predictions = rank_scores(
            "teacher",
            case_ids,
            scores,
            catalogue.ids,
            catalogue.names,
            known,
            self._top_k,
            floor,
        )
        listed: dict[str, list[dict[str, Any]]] = {case_id: [] for case_id in case_ids}
        for row in predictions.drop_columns(["system"]).to_pylist():
            listed[row.pop("case_id")].append(row)
        return _ranked(
            [
                {
                    "case_id": case_id,
                    "listed": listed[case_id],
                    **self._best_and_worst(case_id, row, gold),
                }
                for case_id, row, gold in zip(case_ids, scores, known, strict=True)
            ]
        )

    def _best_and_worst(
        self, case_id: str, scores: Floats32, gold: int | None
    ) -> dict[str, list[str]]:
        if not np.isfinite(scores).all():
            return {}
        floor = floor_of(self._teacher)
        best = best_labels(scores, self._preferences, case_id, floor)
        worst = worst_labels(scores, gold, self._preferences, case_id, floor)
        ids = self._catalogue.ids
        return {"best": pick(ids, best.tolist()), "worst": pick(ids, worst.tolist())}


class StudentRanker:
    """Ray Data actor that ranks the catalogue's names by a student's likelihood.

    It answers some cases freely too. A case whose input cannot be used gets no answer, but the
    reason. A student with a calibration answers with calibrated probabilities.

    Args:
        student: folder of a finished student; None for the base model alone.
        catalogue: file of the labels that may be answered.
        settings: evaluation, resources, student sections, `seed`, `task` and `k`, as plain values.
        generate: ids of cases that are also answered by free generation.
        stain: seed of the stain shift of cases that are perturbed by one; None if there are none.
        scored: whether the rows have the scores too.
    """

    def __init__(
        self,
        student: str | None,
        catalogue: str,
        settings: Mapping[str, Any],
        generate: Sequence[str] = (),
        stain: int | None = None,
        scored: bool = False,
    ) -> None:
        from mint_ray.runtime.ray_train import use_resources
        from mint_ray.students.ranking.fused import with_look_ups
        from mint_ray.students.ranking.ranker import Ranker
        from mint_ray.students.student import load_base_student, load_student

        resources = ResourcesConfig.model_validate(settings["resources"])
        use_resources(resources)
        self._evaluation = EvaluationConfig.model_validate(settings["evaluation"])
        self._catalogue = Catalogue.read(Path(catalogue))
        self._student = (
            load_base_student(
                StudentConfig.model_validate(settings["student"]),
                settings["k"],
                task=settings["task"],
            )
            if student is None
            else load_student(Path(student))
        )
        calibration = read_calibration(Path(student)) if student is not None else None
        self._calibration = calibration
        self._task = self._student.task
        depth = ranking_depth(self._task.name, len(self._catalogue), self._evaluation.top_k)
        # Ranking keeps no gradients, so notes fit together where training takes one at a time.
        notes_at_once = STUDENT_BATCH if self._task.input_modality == "note" else 1
        ranker = Ranker(
            self._student,
            self._catalogue.names,
            top_k=calibration.top_k if calibration else depth,
            listed=depth,
            # The search is that of the calibration, which holds for the names that it scores.
            search=calibration.search if calibration else self._evaluation.search,
            beam_width=calibration.beam_width if calibration else self._evaluation.beam_width,
            temperature=calibration.temperature if calibration else 1.0,
            batch_size=max(resources.micro_batch_size, notes_at_once),
            frozen=True,
        )
        self._ranker = (
            ranker
            if student is None
            else with_look_ups(ranker, Path(student), self._catalogue, calibration, listed=depth)
        )
        self._grounder, self._generate = Grounder(self._catalogue), frozenset(generate)
        self._stain, self._seed, self._scored = stain, settings["seed"], scored

    def __call__(self, cases: pa.Table) -> pa.Table:
        cases = shift_stains(cases, self._stain)
        inputs = cases[self._task.input_modality].to_pylist()
        reasons = [self._task.why_unusable(item) for item in inputs]
        usable = [index for index, reason in enumerate(reasons) if reason is None]
        usable_cases = cases.take(pa.array(usable, pa.int64()))
        case_ids = usable_cases["case_id"].to_pylist()
        known = known_answers(usable_cases, self._catalogue)
        scores = self._ranker.score([inputs[index] for index in usable], known) if usable else []
        free = self._answer_freely(usable_cases)
        rows: list[dict[str, Any]] = [
            {"case_id": case_id, "listed": [], "reason": reason}
            for case_id, reason in zip(cases["case_id"].to_pylist(), reasons, strict=True)
            if reason is not None
        ]
        rankings = self._ranker.rankings(scores)
        for case_id, case_scores, ranking, answer in zip(
            case_ids, scores, rankings, known, strict=True
        ):
            ranked = list(enumerate(zip(ranking.labels, ranking.probabilities, strict=True), 1))
            listed = [self._row(rank, label, p) for rank, (label, p) in ranked]
            is_unlisted = answer is not None and answer not in ranking.labels
            if is_unlisted and ranking.answer_rank is not None:
                listed.append(self._row(ranking.answer_rank, answer, ranking.answer_probability))
            rows.append(
                {
                    "case_id": case_id,
                    "listed": listed,
                    "generated": free.get(case_id, []),
                    "set_size": self._set_size(ranking),
                    "shortened": ranking.shortened,
                    **(scores_row(case_scores) if self._scored else {}),
                }
            )
        return _ranked(rows)

    def _set_size(self, ranking: Ranking) -> int | None:
        if self._calibration is None:
            return None
        return self._calibration.set_size(np.array(ranking.scored), len(self._catalogue))

    def _row(self, rank: int, label: int | None, probability: float | None) -> dict[str, Any]:
        entry = self._catalogue.label(label or 0)
        return {
            "rank": rank,
            "label_id": entry.label_id,
            "text": entry.name,
            "probability": probability,
        }

    def _answer_freely(self, cases: pa.Table) -> dict[str, list[dict[str, Any]]]:
        from mint_ray.students.ranking.generation import generate
        from mint_ray.tasks.answers import parse_list

        wanted = [
            row
            for row in cases.select(["case_id", self._task.input_modality]).to_pylist()
            if row["case_id"] in self._generate
        ]
        inputs = [row[self._task.input_modality] for row in wanted]
        header, most = self._task.header, self._evaluation.top_k
        texts = generate(
            self._student,
            inputs,
            self._evaluation.max_new_tokens,
            self._draws([row["case_id"] for row in wanted]),
            self._catalogue.names,
        )
        return {
            row["case_id"]: [
                {"rank": rank, "label_id": self._grounder.ground(name), "text": name}
                # An answer without a list counts as one name that is not in the catalogue.
                for rank, name in enumerate(
                    parse_list(text, header, most, headed="first", repeats=True) or [""], 1
                )
            ]
            for row, text in zip(wanted, texts, strict=True)
        }

    def _draws(self, case_ids: Sequence[str]) -> "list[Sampling]":
        """Return the draw of each answer, seeded by its case; empty for greedy decoding."""
        from mint_ray.students.ranking.generation import sampling_of

        if self._evaluation.decoding == "greedy":
            return []
        sampling = sampling_of(self._evaluation.sampling, self._task)
        seeds = (stable_seed(self._seed, "generated", case_id) for case_id in case_ids)
        return [replace(sampling, seed=seed) for seed in seeds]


def known_answers(cases: pa.Table, catalogue: Catalogue) -> list[int | None]:
    """Return the catalogue index of each case's known answer; None if there is no such index."""
    return [
        None if label is None else catalogue.index_of(label)
        for label in cases["label_id"].to_pylist()
    ]


def scores_row(scores: Scores) -> dict[str, Any]:
    """Return the scores of a case as columns of its row."""
    return {
        "scores": scores.own.tolist(),
        "labels": scores.labels[: len(scores.own)].tolist(),
        "answer_rank": scores.answer_rank,
        "answer_score": scores.answer_score,
    }


def _ranked(rows: list[dict[str, Any]]) -> pa.Table:
    empty: dict[str, Any] = {
        "generated": [],
        "best": [],
        "worst": [],
        "set_size": None,
        "shortened": False,
        "reason": None,
        "scores": [],
        "labels": [],
        "answer_rank": None,
        "answer_score": None,
    }
    return pa.Table.from_pylist([empty | row for row in rows], RANKED_SCHEMA)


def predictions_of(ranked: pa.Table, system: str, column: str = "listed") -> pa.Table:
    """Return rows of `PREDICTION_SCHEMA` from one column of lists."""
    rows = [
        {"case_id": row["case_id"], "system": system, **listed}
        for row in ranked.select(["case_id", column]).to_pylist()
        for listed in row[column]
    ]
    return pa.Table.from_pylist(rows, PREDICTION_SCHEMA)


STUDENT_BATCH = 8


TEACHER_BATCH = 128
