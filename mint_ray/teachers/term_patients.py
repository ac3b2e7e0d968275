"""Patients as sparse rows of terms, for the teachers that compare terms."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from mint_ray.cases.schema import SIMULATED
from mint_ray.common.arrays import Floats, Floats32, Ints
from mint_ray.common.probabilities.group_weights import group_weights
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.teachers.faces.findings import FaceFindings
from mint_ray.teachers.report_findings import ReportFindings
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

    @property
    def with_terms(self) -> Ints:
        """Return the rows of the patients that have an observed term."""
        return np.flatnonzero(np.diff(self.observed.indptr)).astype(np.int64)

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


@dataclass(frozen=True)
class LabelledPatients:
    """Patients with a known term whose answer is in the catalogue.

    Attributes:
        patients: the n patients.
        labels: (n,) catalogue index of the answer.
        groups: (n,) number of the group.
    """

    patients: TermPatients
    labels: Ints
    groups: Ints

    @classmethod
    def of_cases(
        cls,
        cases: pa.Table,
        catalogue: Catalogue,
        encoder: TermEncoder,
        n_terms: int,
        faces: FaceFindings | None = None,
        reports: ReportFindings | None = None,
    ) -> "LabelledPatients":
        """Encode cases of a case table; leave out those without a known term or answer.

        Args:
            cases: `label_id`, `group_id`, `terms`, `excluded_terms`, `sex`; `image` with `faces`,
                `description` with `reports`.
            catalogue: the labels.
            encoder: of the terms.
            n_terms: number of terms of the ontology.
            faces: reader of further observed terms in the images.
            reports: reader of further terms in the descriptions.
        """
        read = [("image", faces), ("description", reports)]
        names = ("terms", "excluded_terms", "sex", *(name for name, reader in read if reader))
        batch: Mapping[str, Sequence[Any]] = {name: cases[name].to_pylist() for name in names}
        if faces:
            batch, _ = faces.add_to(batch)
        if reports:
            batch = reports.add_to(batch)
        patients = TermPatients.of_batch(batch, encoder, n_terms)
        labels = catalogue.indices_of(cases["label_id"].to_pylist())
        groups = np.unique(cases["group_id"].to_pylist(), return_inverse=True)[1]
        usable = patients.with_terms[labels[patients.with_terms] >= 0]
        return cls(patients.take(usable), labels[usable], groups[usable].astype(np.int64))

    def take(self, rows: Ints) -> "LabelledPatients":
        """Return the patients at `rows`."""
        return LabelledPatients(self.patients.take(rows), self.labels[rows], self.groups[rows])

    @property
    def weights(self) -> Floats:
        """Return (n,) 1 / √(patients of the group), so that large groups do not outweigh all."""
        return group_weights(self.groups)


def published_cases(cases: pa.Table) -> pa.Table:
    """Return the cases without the simulated ones, or all if there are no others.

    Simulated patients beside published ones say nothing that the annotations do not say.
    """
    published = cases.filter(pc.not_equal(cases["source"], SIMULATED))
    return published if published.num_rows else cases


def _rows(bags: Iterable[Ints], n_terms: int) -> sp.csr_array:
    bags = list(bags)
    terms = np.concatenate([*bags, np.zeros(0, dtype=np.int64)]).astype(np.int64)
    return _ones(terms, np.cumsum([0, *(len(bag) for bag in bags)]), n_terms)


def _ones(terms: Ints, offsets: Ints, n_terms: int) -> sp.csr_array:
    ones = np.ones(len(terms), dtype=np.float32)
    return sp.csr_array((ones, terms, offsets), shape=(len(offsets) - 1, n_terms))
