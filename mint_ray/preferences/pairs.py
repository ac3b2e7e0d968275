"""From a batch of cases to preference rows: score, rank, render."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mint_ray.config import PreferencesConfig
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.preferences.build import RankedPair, pick, rank_pairs
from mint_ray.students.prompts import answer_message, build_prompt
from mint_ray.teachers.base import SEEN_COLUMNS, Teacher, bad_rows, batch_of

TASK = "disease"


class CasePairs:
    """Builds the scored rows (`SCORED_SCHEMA`) of a batch of cases.

    Args:
        teacher: scores every label of the catalogue.
        catalogue: the labels, in the teacher's order.
        config: k, q, windows and gold handling.
        key: of the step; written into every row as `config_hash`.
    """

    def __init__(
        self, teacher: Teacher, catalogue: Catalogue, config: PreferencesConfig, key: str
    ) -> None:
        self._teacher, self._catalogue = teacher, catalogue
        self._config, self._key = config, key
        self._names, self._ids = catalogue.names, catalogue.ids

    def build(self, cases: pa.Table) -> list[dict[str, Any]]:
        """One row per case: its pairs, or the reason why it has none."""
        scores = self._teacher.score(batch_of(cases))
        bad = np.flatnonzero(bad_rows(scores))
        reasons = self._teacher.reasons(batch_of(cases.take(bad))) if len(bad) else []
        unscored = dict(zip(bad.tolist(), reasons, strict=True))
        rows = cases.drop_columns(list(SEEN_COLUMNS)).to_pylist()
        return [self._row(case, scores[i], unscored.get(i)) for i, case in enumerate(rows)]

    def _row(
        self, case: dict[str, Any], scores: npt.NDArray[np.float32], unscored: str | None
    ) -> dict[str, Any]:
        row = {"case_id": case["case_id"], "source": case["source"], "reason": None, "pairs": []}
        gold = None if case["label_id"] is None else self._catalogue.index_of(case["label_id"])
        if not case["note"].strip():
            return row | {"reason": "empty_note"}
        if case["label_id"] is not None and gold is None:
            return row | {"reason": "label_not_in_catalogue"}
        if unscored:
            return row | {"reason": unscored}
        ranking = rank_pairs(scores, gold, self._config, seed=case["case_id"])
        pairs = [self._pair(case, pair, scores, gold) for pair in ranking.pairs]
        return row | {"reason": ranking.reason, "pairs": pairs}

    def _pair(
        self,
        case: dict[str, Any],
        pair: RankedPair,
        scores: npt.NDArray[np.float32],
        gold: int | None,
    ) -> dict[str, Any]:
        return {
            "preference_id": f"{case['case_id']}#{pair.window}",
            **{name: case[name] for name in ("case_id", "group_id", "split")},
            "task": TASK,
            "prompt": build_prompt(case["note"], self._config.k),
            "chosen": answer_message(pick(self._names, pair.chosen)),
            "rejected": answer_message(pick(self._names, pair.rejected)),
            "chosen_labels": pick(self._ids, pair.chosen),
            "rejected_labels": pick(self._ids, pair.rejected),
            "chosen_scores": scores[list(pair.chosen)].tolist(),
            "rejected_scores": scores[list(pair.rejected)].tolist(),
            "label_id": None if gold is None else self._ids[gold],
            "candidates": pick(self._ids, pair.candidates),
            "teacher": self._teacher.revision,
            "config_hash": self._key,
        }
