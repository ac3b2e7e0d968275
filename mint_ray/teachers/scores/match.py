"""Assignment of the rows of a table of scores to cases and to labels of the catalogue."""

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mint_ray.common.arrays import Bools, Ints
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.teachers.label_lookup import LabelLookup
from mint_ray.teachers.recorded.table import RecordedScores
from mint_ray.teachers.scores.files import ScoreRows

_NONE = -1


def match_rows(
    rows: ScoreRows, case_ids: Sequence[str], catalogue: Catalogue, lower_is_better: bool
) -> tuple[RecordedScores, Counter[str]]:
    """Return the scores of the run's cases and catalogue, and counts of what was not used.

    A label is found by its id in any usual spelling, by an id that the catalogue has merged into
    it, or by its name or a synonym. Of several rows of one label in a case the best one counts.

    Args:
        rows: of the table.
        case_ids: of the run.
        catalogue: the labels.
        lower_is_better: whether a lower score is better.

    Returns:
        The scores, and the counts `rows`, `unknown_cases` (ids in the table), `unknown_labels`
        (labels in the table), `rows_of_unknown_labels`, `rows_without_number`, and those of `rows`.
    """
    cases, unknown_cases = _looked_up(rows.cases, _case_finder(case_ids, rows.of_files))
    lookup = LabelLookup(catalogue)
    by_id, _ = _looked_up(rows.labels, lookup.by_id)
    by_name, _ = _looked_up(rows.names, lookup.by_name)
    labels = np.where(by_id == _NONE, by_name, by_id)
    is_finite, in_run = np.isfinite(rows.scores), cases != _NONE
    lost = in_run & (labels == _NONE)
    counts = rows.counts + Counter(
        unknown_cases=unknown_cases,
        unknown_labels=_distinct(rows, lost),
        rows_of_unknown_labels=int(lost.sum()),
        rows_without_number=int((in_run & ~is_finite).sum()),
    )
    kept = in_run & is_finite & (labels != _NONE)
    scores = -rows.scores[kept] if lower_is_better else rows.scores[kept]
    recorded = RecordedScores.of_rows(case_ids, cases[kept], labels[kept], scores)
    return recorded, counts + Counter(rows=int(kept.sum()))


def _case_finder(case_ids: Sequence[str], of_files: bool) -> Callable[[str], int | None]:
    """Return a lookup of case positions; names of files may lack characters that ids have."""
    exact = {case_id: position for position, case_id in enumerate(case_ids)}
    if not of_files:
        return exact.get
    uses = Counter(map(_folded, case_ids))
    folded = {_folded(name): at for name, at in exact.items() if uses[_folded(name)] == 1}
    return lambda name: exact.get(name, folded.get(_folded(name)))


def _folded(case_id: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", case_id.casefold())


def _looked_up(column: pa.Array, find: Callable[[str], int | None]) -> tuple[Ints, int]:
    """Return (m,) what `find` gives for each text, −1 for nothing; and the texts without a find."""
    encoded = column.dictionary_encode()
    found = [find(text) for text in encoded.dictionary.to_pylist()]
    values = np.array([_NONE if value is None else value for value in found] + [_NONE])
    indices = pc.fill_null(encoded.indices, len(found)).to_numpy(zero_copy_only=False)
    return values[indices].astype(np.int64), sum(value is None for value in found)


def _distinct(rows: ScoreRows, chosen: Bools) -> int:
    """Return the number of different labels in some rows."""
    either = pc.coalesce(rows.labels, rows.names).filter(pa.array(chosen))
    return len(pc.unique(either))
