"""Preference rows of cases that several cross-fitted teachers rank."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from mint_ray.preferences.render import CasePairs
from mint_ray.teachers.cross_fit import Folds


class CrossFittedPairs:
    """Builder of scored rows whose training cases are ranked by the teacher of their part.

    A teacher is loaded when the first case of its part comes.

    Args:
        folds: parts of the training groups; without any, one teacher ranks all cases.
        make: function that loads the builder of a part; of None, the builder of all other cases.
    """

    def __init__(self, folds: Folds, make: Callable[[int | None], CasePairs]) -> None:
        self._folds, self._make = folds, make
        self._builders: dict[int | None, CasePairs] = {}

    def build(self, cases: pa.Table) -> list[dict[str, Any]]:
        """Return one row per case, in the order of the cases; see `CasePairs.build`."""
        parts = self._folds.of_cases(cases["group_id"].to_pylist(), cases["split"].to_pylist())
        rows: dict[int, dict[str, Any]] = {}
        for part in dict.fromkeys(parts):
            indices = np.flatnonzero([other == part for other in parts])
            if part not in self._builders:
                self._builders[part] = self._make(part)
            built = self._builders[part].build(cases.take(indices))
            rows |= dict(zip(indices.tolist(), built, strict=True))
        return [rows[index] for index in range(len(parts))]
