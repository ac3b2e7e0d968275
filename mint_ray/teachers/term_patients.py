"""Patients as sparse rows of terms, for the teachers that compare terms."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from mint_ray.common.arrays import Floats32, Ints
from mint_ray.teachers.term_encoder import TermEncoder

SEX_SIGNS = {"female": -1.0, "male": 1.0}


@dataclass(frozen=True)
class TermPatients:
    """n patients; the entries of the sparse rows are 1."""

    closures: sp.csr_array
    """(n, n_terms): observed terms and all of their ancestors."""
    observed: sp.csr_array
    """(n, n_terms): observed terms."""
    excluded: sp.csr_array
    """(n, n_terms): excluded terms."""
    sex: Floats32
    """(n,): −1 for female, 1 for male, 0 where unknown."""

    def __len__(self) -> int:
        return len(self.sex)

    @classmethod
    def of_batch(
        cls, batch: Mapping[str, Sequence[Any]], encoder: TermEncoder, n_terms: int
    ) -> "TermPatients":
        """Encode the columns `terms`, `excluded_terms` and `sex`; unknown ids are skipped."""
        observed, excluded = batch["terms"], batch["excluded_terms"]
        return cls(
            closures=_rows((encoder.closure(terms or ()) for terms in observed), n_terms),
            observed=_rows((encoder.plain(terms or ()) for terms in observed), n_terms),
            excluded=_rows((encoder.plain(terms or ()) for terms in excluded), n_terms),
            sex=np.array([SEX_SIGNS.get(sex, 0.0) for sex in batch["sex"]], dtype=np.float32),
        )

    def take(self, rows: Ints) -> "TermPatients":
        """Return the patients at `rows`."""
        return TermPatients(
            self.closures[rows], self.observed[rows], self.excluded[rows], self.sex[rows]
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return plain arrays from which `of_arrays` makes equal patients."""
        arrays = {"sex": self.sex, "n_terms": np.array([self.closures.shape[1]])}
        for name in ("closures", "observed", "excluded"):
            rows = getattr(self, name)
            arrays[f"{name}.offsets"] = rows.indptr.astype(np.int64)
            arrays[f"{name}.terms"] = rows.indices.astype(np.int64)
        return arrays

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "TermPatients":
        """Make the patients that gave these `arrays`."""
        n_terms = int(arrays["n_terms"][0])
        closures, observed, excluded = (
            _ones(arrays[f"{name}.terms"], arrays[f"{name}.offsets"], n_terms)
            for name in ("closures", "observed", "excluded")
        )
        return cls(closures, observed, excluded, arrays["sex"])


def _rows(bags: Iterable[Ints], n_terms: int) -> sp.csr_array:
    bags = list(bags)
    terms = np.concatenate([*bags, np.zeros(0, dtype=np.int64)]).astype(np.int64)
    return _ones(terms, np.cumsum([0, *(len(bag) for bag in bags)]), n_terms)


def _ones(terms: Ints, offsets: Ints, n_terms: int) -> sp.csr_array:
    ones = np.ones(len(terms), dtype=np.float32)
    return sp.csr_array((ones, terms, offsets), shape=(len(offsets) - 1, n_terms))
