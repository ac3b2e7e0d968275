"""Record of one case: what was asked, shown and answered."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from mint_ray.common.arrays import Ints
from mint_ray.evaluation.predictions import PREDICTION_SCHEMA
from mint_ray.tasks.prompts import Message


@dataclass(frozen=True)
class ShownDocument:
    """A document in a transcript."""

    id: str
    title: str
    part: int
    score: float


@dataclass(frozen=True)
class CaseRecord:
    """Record of one case: transcript, documents and answered names. It holds text of the note.

    Attributes:
        case_id: of the case.
        protocol: name of the protocol.
        transcript: every message, the model's replies included.
        documents: that were shown, best first.
        names: of the answered list, best first; empty where there is none.
        problem: why there is no answer: `empty_note`, `too_long`, `no_reply`, `empty_answer` or
            `no_list`; None where there is one.
        shortened: whether the note lost its tail.
    """

    case_id: str
    protocol: str
    transcript: tuple[Message, ...]
    documents: tuple[ShownDocument, ...]
    names: tuple[str, ...]
    problem: str | None = None
    shortened: bool = False

    def as_row(self) -> dict[str, Any]:
        """Return plain JSON, from which `of_row` makes an equal record."""
        return asdict(self)

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "CaseRecord":
        """Make the record of a row of `as_row`."""
        return cls(
            **{
                **row,
                "transcript": tuple(row["transcript"]),
                "documents": tuple(ShownDocument(**shown) for shown in row["documents"]),
                "names": tuple(row["names"]),
            }
        )


class Names(Protocol):
    """Lookup of the label that an answered line means."""

    def find(self, line: str) -> str | None:
        """Return a `label_id`, or None."""


def grounded(names: Sequence[str], lookup: Names) -> list[str | None]:
    """Return the label that each name means, None where there is none or it is listed already."""
    labels: list[str | None] = []
    for found in map(lookup.find, names):
        labels.append(None if found in labels else found)
    return labels


def predictions(records: Iterable[CaseRecord], names: Names) -> pa.Table:
    """Return rows of `PREDICTION_SCHEMA`; a case without an answer has none.

    A name that means a label already listed keeps its place and gets no label, so that no label is
    counted twice.
    """
    rows = [
        {
            "case_id": record.case_id,
            "system": record.protocol,
            "rank": rank,
            "label_id": label,
            "text": name,
            "probability": None,
        }
        for record in records
        for rank, (name, label) in enumerate(
            zip(record.names, grounded(record.names, names), strict=True), start=1
        )
    ]
    return pa.Table.from_pylist(rows, PREDICTION_SCHEMA)


def answer_ranks(table: pa.Table, known: Mapping[str, str], case_ids: Sequence[str]) -> Ints:
    """Return (n,) rank of the known label of each case, 0 where it is not listed.

    Args:
        table: of `predictions`, of one system.
        known: case id -> `label_id`; a case without one counts as not listed.
        case_ids: every case that was asked about, also those without an answer.
    """
    ranks = {
        (row["case_id"], row["label_id"]): row["rank"]
        for row in table.select(["case_id", "label_id", "rank"]).to_pylist()
        if row["label_id"] is not None
    }
    found = (ranks.get((case_id, known.get(case_id)), 0) for case_id in case_ids)
    return np.fromiter(found, dtype=np.int64, count=len(case_ids))
