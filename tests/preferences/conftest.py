"""A teacher of a few invented diseases, cases for it, and the tiny base model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.config.preferences import PreferencesConfig
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.preferences.render import CasePairs
from mint_ray.stages.prefer import CASE_COLUMNS
from tests.students.conftest import model, tokenizer
from tests.students.pairs import NAMES

__all__ = ["model", "tokenizer"]

LABELS = [Label(f"OMIM:{i}", name, (f"OMIM:{i}",), (), ()) for i, name in enumerate(NAMES)]


class InventedTeacher:
    """Ranks by the length of the first term; cannot judge a case without terms."""

    labels = tuple(label.label_id for label in LABELS)
    revision = "invented-1"

    def score(self, batch: Mapping[str, Sequence[Any]]) -> NDArray[np.float32]:
        rows = [self._row(len(terms[0])) if terms else [np.nan] * 10 for terms in batch["terms"]]
        return np.array(rows, dtype=np.float32)

    def unusable_reasons(self, batch: Mapping[str, Sequence[Any]]) -> list[str]:
        return ["no_terms"] * len(batch["terms"])

    def _row(self, length: int) -> NDArray[np.float64]:
        logits = np.sin(np.arange(len(LABELS)) + length)
        return np.asarray(logits - np.log(np.exp(logits).sum()))


class PartialTeacher(InventedTeacher):
    """Answers for the three first labels only."""

    floor = float(np.float32(-9.0))

    def _row(self, length: int) -> NDArray[np.float64]:
        answered = [np.log(0.6), np.log(0.3), np.log(0.09)]
        return np.array(answered + [self.floor] * (len(LABELS) - 3))


def build_pairs(
    cases: list[dict[str, Any]], teacher: InventedTeacher | None = None, **settings: Any
) -> list[dict[str, Any]]:
    """Scored rows of cases that are given by what differs from a sound one."""
    sound = {"split": "train", "label_id": "OMIM:1", "note": "A note.", "terms": ["HP:0001250"]}
    rows = [blank_case(f"case-{i}", "invented") | sound | case for i, case in enumerate(cases)]
    config = PreferencesConfig.model_validate({"chosen_size": 2, "rejected_size": 2, **settings})
    builder = CasePairs(teacher or InventedTeacher(), Catalogue(LABELS), config, "key")
    return builder.build(pa.Table.from_pylist(rows, CASE_SCHEMA).select(CASE_COLUMNS))
