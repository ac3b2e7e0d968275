"""Findings that are read in laboratory reports, as HPO terms."""

from collections.abc import Mapping, Sequence
from typing import Any

from mint_ray.knowledge.notes.findings import FindingReader, present_and_excluded


class ReportFindings:
    """Reader of reports that adds what it reads to the terms of a batch.

    Args:
        reader: of notes; None for a teacher that reads no reports. Then no description is looked
            at, which may be of an image.
    """

    def __init__(self, reader: FindingReader | None) -> None:
        self._reader = reader

    @property
    def reads(self) -> bool:
        """Return whether reports are read."""
        return self._reader is not None

    def add_to(self, batch: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
        """Return a batch whose terms have the findings of the column `description` too.

        Present findings join `terms`, denied ones `excluded_terms`. What the terms say already
        stays: a finding that is denied in the report and observed elsewhere is observed.
        """
        if self._reader is None:
            return batch
        terms = [list(observed or ()) for observed in batch["terms"]]
        excluded_terms = [list(denied or ()) for denied in batch["excluded_terms"]]
        for report, observed, denied in zip(
            batch["description"], terms, excluded_terms, strict=True
        ):
            if not report:
                continue
            present, absent = present_and_excluded(self._reader.read(report))
            observed += [term for term in present if term not in (*observed, *denied)]
            denied += [term for term in absent if term not in (*observed, *denied)]
        return {**batch, "terms": terms, "excluded_terms": excluded_terms}
