"""Preference rows of a batch of cases: scoring, selection and rendering."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mint_ray.cases.schema import RECOMBINED
from mint_ray.config.preferences import PreferencesConfig
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.preferences.select import RankedPair, pick, rank_pairs
from mint_ray.preferences.siblings import NO_SIBLINGS, Siblings
from mint_ray.tasks.prompts import Message, answer_message, build_image_prompt, build_prompt
from mint_ray.tasks.task import DISEASE, Task
from mint_ray.teachers.base import (
    Teacher,
    bad_rows,
    batch_of,
    check_labels,
    floor_of,
    score_cases,
)

_CASE_COLUMNS = ("case_id", "group_id", "split", "label_id", "note", "source")


class CasePairs:
    """Builder of the scored rows (`scored_schema`) of a batch of cases.

    A case gives no pair in four situations: the student's input is missing or unusable
    (`empty_note`, or the reason of `open_tile` for the image), the catalogue lacks the known
    answer (`label_not_in_catalogue`), the teacher cannot judge the case, or `rank_pairs` gives a
    reason. A prompt asks for as many names as the chosen answer has. The chosen answer of a
    recombined case begins with the known answer unless `gold: none` removes it.

    Args:
        teacher: scores the labels of the catalogue.
        catalogue: the labels, in the teacher's order.
        config: sizes of the lists, number of rejected sets, choice of names, gold handling.
        key: of the step; written into every row as `config_hash`.
        task: sets the prompt, and whether the student reads the note or the image.

    Raises:
        TeacherError: the teacher has other labels than the catalogue.
    """

    def __init__(
        self,
        teacher: Teacher,
        catalogue: Catalogue,
        config: PreferencesConfig,
        key: str,
        task: Task = DISEASE,
    ) -> None:
        check_labels(teacher, catalogue.ids)
        self._teacher, self._catalogue, self._floor = teacher, catalogue, floor_of(teacher)
        self._config, self._key, self._task = config, key, task
        self._names, self._ids = catalogue.names, catalogue.ids
        self._siblings = NO_SIBLINGS if config.rejected == "worst" else Siblings(catalogue.names)

    def build(self, cases: pa.Table) -> list[dict[str, Any]]:
        """Return one row per case, with its pairs or the reason why it has none."""
        batch = batch_of(cases)
        scores = score_cases(self._teacher, batch)
        bad = np.flatnonzero(bad_rows(scores))
        reasons = self._teacher.unusable_reasons(batch_of(cases.take(bad))) if len(bad) else []
        unscored = dict(zip(bad.tolist(), reasons, strict=True))
        rows = cases.select(_CASE_COLUMNS).to_pylist()
        return [
            self._row(case, batch["image"][i], scores[i], unscored.get(i))
            for i, case in enumerate(rows)
        ]

    def _row(
        self,
        case: dict[str, Any],
        image: bytes | None,
        scores: npt.NDArray[np.float32],
        unscored: str | None,
    ) -> dict[str, Any]:
        row = {name: case[name] for name in ("case_id", "source", "split")}
        row |= {"reason": None, "answer_first": None, "pairs": [], "unanswered": 0}
        gold = None if case["label_id"] is None else self._catalogue.index_of(case["label_id"])
        if self._task.input_modality == "note" and not case["note"].strip():
            return row | {"reason": "empty_note"}
        if case["label_id"] is not None and gold is None:
            return row | {"reason": "label_not_in_catalogue"}
        if unscored:
            return row | {"reason": unscored}
        if gold is not None:
            row["answer_first"] = bool((scores >= scores[gold]).sum() == 1)
        # A teacher may judge a case by its description alone; a student of images cannot.
        if reason := self._task.why_unusable(image):
            return row | {"reason": reason}
        config = self._config
        if case["source"] == RECOMBINED:
            # Some of its findings are of groups that the teacher has seen: the place of the known
            # answer in its ranking says nothing.
            row["answer_first"] = None
            if config.gold == "keep":
                config = config.model_copy(update={"gold": "first"})
        selection = rank_pairs(scores, gold, config, case["case_id"], self._floor, self._siblings)
        pairs = [self._pair(case, pair, scores, gold) for pair in selection.pairs]
        unanswered = sum(pair.n_unanswered for pair in selection.pairs)
        return row | {"reason": selection.reason, "pairs": pairs, "unanswered": unanswered}

    def _pair(
        self,
        case: dict[str, Any],
        pair: RankedPair,
        scores: npt.NDArray[np.float32],
        gold: int | None,
    ) -> dict[str, Any]:
        return {
            "preference_id": f"{case['case_id']}#{pair.set_index}",
            **{name: case[name] for name in ("case_id", "group_id", "split")},
            "task": self._task.name,
            "prompt": self._prompt(case["note"], len(pair.chosen)),
            "chosen": answer_message(pick(self._names, pair.chosen), self._task),
            "rejected": answer_message(pick(self._names, pair.rejected), self._task),
            "chosen_labels": pick(self._ids, pair.chosen),
            "rejected_labels": pick(self._ids, pair.rejected),
            "chosen_scores": scores[list(pair.chosen)].tolist(),
            "rejected_scores": scores[list(pair.rejected)].tolist(),
            "label_id": None if gold is None else self._ids[gold],
            "candidates": pick(self._ids, pair.candidates),
            "teacher": self._teacher.revision,
            "config_hash": self._key,
        }

    def _prompt(self, note: str, n_names: int) -> list[Message]:
        if self._task.input_modality == "image":
            return build_image_prompt(self._names, n_names)
        return build_prompt(note, n_names, task=self._task)
