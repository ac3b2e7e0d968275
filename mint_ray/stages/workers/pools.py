"""Fit of the pool of a student and look-ups to the notes of cases whose answer is known."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.common.arrays import Ints
from mint_ray.evaluation.calibration.scores import scored_cases
from mint_ray.evaluation.fused.fit import fit_pool
from mint_ray.evaluation.fused.pool import OpinionPool
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.teachers.note_look_ups import NoteLookUps


class Noted(NamedTuple):
    """Notes of n cases, and (n,) the catalogue index of each known answer, −1 where it is none."""

    notes: list[str]
    answers: Ints


def read_noted(cases_file: Path, case_ids: Sequence[str], catalogue: Catalogue) -> Noted:
    """Read notes and answers of cases, in the order of `case_ids`."""
    rows = pq.read_table(
        cases_file,
        columns=["case_id", "note", "label_id"],
        filters=pc.field("case_id").isin(list(case_ids)),
    )
    by_id = {row["case_id"]: row for row in rows.to_pylist()}
    chosen = [by_id[case_id] for case_id in case_ids]
    return Noted(
        [row["note"] or "" for row in chosen],
        catalogue.indices_of([row["label_id"] for row in chosen]),
    )


def fit_to_notes(
    look_ups: NoteLookUps, scores: pa.Table, cases_file: Path, catalogue: Catalogue
) -> OpinionPool:
    """Fit a pool to cases that the student has scored.

    Args:
        look_ups: that the student is pooled with.
        scores: rows of `NAMED_SCORES_SCHEMA`; cases that the student cannot read are left out.
        cases_file: with notes and answers of these cases.
        catalogue: of the labels.

    Raises:
        DataError: there is no case whose known answer is in the catalogue.
    """
    usable = scores.filter(pc.is_null(scores["reason"]))
    noted = read_noted(cases_file, usable["case_id"].to_pylist(), catalogue)
    by_name = look_ups.score(look_ups.read(noted.notes))
    labels = [np.array(item, dtype=np.int64) for item in usable["labels"].to_pylist()]
    return fit_pool(scored_cases(usable), labels, noted.answers, by_name)
