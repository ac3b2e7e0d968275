"""Accuracy of a teacher on cases that it was not fitted on."""

import numpy as np
import pyarrow as pa

from mint_ray.common.partial_answers import is_answered
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.teachers.base import SEEN_COLUMNS, Teacher, floor_of, score_cases

AT_ONCE = 512
"""Cases that are scored together: bounds the memory of a large catalogue."""


def accuracy(teacher: Teacher, cases: pa.Table, catalogue: Catalogue) -> dict[str, float]:
    """Return top-1, top-3 and top-10 accuracy over all cases; empty without a case.

    A case that cannot be scored, whose label the catalogue lacks, or whose label the teacher does
    not answer for, is a miss. A label counts after those that tie with it.

    Args:
        teacher: fitted.
        cases: `label_id`, and those of the `SEEN_COLUMNS` that the teacher reads.
        catalogue: the labels.
    """
    if not cases.num_rows:
        return {}
    ranks = np.concatenate(
        [
            _ranks(teacher, cases.slice(at, AT_ONCE), catalogue)
            for at in range(0, cases.num_rows, AT_ONCE)
        ]
    )
    return {f"validation.top{k}": float((ranks <= k).mean()) for k in (1, 3, 10)}


def _ranks(teacher: Teacher, cases: pa.Table, catalogue: Catalogue) -> np.ndarray:
    """Return (n,) the rank of each case's label, infinite for a miss."""
    present = [name for name in SEEN_COLUMNS if name in cases.column_names]
    scores = score_cases(teacher, {name: cases[name].to_pylist() for name in present})
    known = catalogue.indices_of(cases["label_id"].to_pylist())
    rows = np.arange(len(known))
    is_hit = (known >= 0) & is_answered(scores, floor_of(teacher))[rows, known]
    ranks = (scores >= scores[rows, known][:, None]).sum(axis=1)
    return np.where(is_hit, ranks, np.inf)
