"""Numbers of findings that published patients' records have, to simulate others alike."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mint_ray.cases.schema import SIMULATED
from mint_ray.common.arrays import Bools, Floats, Ints

FEWEST_PATIENTS = 30
"""Smallest number of published patients whose numbers of findings are taken as typical."""


class RecordCount(NamedTuple):
    """Extent of one record."""

    observed: int
    excluded: int
    sex_unknown: bool


@dataclass(frozen=True)
class RecordCounts:
    """Extents of the records of published patients, drawn from together as they occur together.

    A patient counts as 1 / √n, where n patients share its group: the records of one large series
    are alike, and must not outweigh many small ones.
    """

    observed: Ints
    """(n,) numbers of observed terms, those that an image shows included."""
    excluded: Ints
    """(n,) numbers of excluded terms."""
    sex_unknown: Bools
    """(n,)"""
    cumulative: Floats
    """(n,) cumulative weights."""

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> "RecordCounts | None":
        """Return the extents of the published ones among case rows; None if they are too few.

        Args:
            rows: group_id, terms, face_terms, excluded_terms, sex and source of training cases.
        """
        published = [
            r for r in rows if r["source"] != SIMULATED and (r["terms"] or r["face_terms"])
        ]
        if len(published) < FEWEST_PATIENTS:
            return None
        sizes = Counter(row["group_id"] for row in published)
        return cls(
            observed=np.array([len({*row["terms"], *row["face_terms"]}) for row in published]),
            excluded=np.array([len(row["excluded_terms"]) for row in published]),
            sex_unknown=np.array([row["sex"] == "unknown" for row in published]),
            cumulative=np.cumsum([sizes[row["group_id"]] ** -0.5 for row in published]),
        )

    def draw(self, rng: np.random.Generator) -> RecordCount:
        """Draw the extent of a record."""
        target = rng.random() * self.cumulative[-1]
        row = int(self.cumulative.searchsorted(target, side="right"))
        return RecordCount(
            int(self.observed[row]), int(self.excluded[row]), bool(self.sex_unknown[row])
        )
