"""The case: one patient or one tile, as a row of `cases.parquet`."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal, TypedDict

import pyarrow as pa

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

SEXES = ("female", "male")
"""Of a case whose sex is known; else it is "unknown"."""


class Case(TypedDict):
    """One row of `CASE_SCHEMA`; plain Python values, images as encoded bytes."""

    case_id: str
    group_id: str
    split: str | None
    label_id: str | None
    label_name: str | None
    seen: bool | None
    note: str
    terms: list[str]
    excluded_terms: list[str]
    face_terms: list[str]
    image: bytes | None
    description: str
    sex: str
    age: str | None
    publications: list[str]
    source: str


def blank_case(case_id: str, source: str) -> Case:
    """A case of which nothing is known yet; its own group."""
    return Case(
        case_id=case_id,
        group_id=case_id,
        split=None,
        label_id=None,
        label_name=None,
        seen=None,
        note="",
        terms=[],
        excluded_terms=[],
        face_terms=[],
        image=None,
        description="",
        sex="unknown",
        age=None,
        publications=[],
        source=source,
    )


CASE_SCHEMA = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        # What must never straddle a split: source publication, family, patient or slide.
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("split", pa.string()),  # train | validation | test; null before splitting
        pa.field("label_id", pa.string()),  # the known answer; null where there is none
        pa.field("label_name", pa.string()),
        pa.field("seen", pa.bool_()),  # the label has at least one training case
        pa.field("note", pa.string(), nullable=False),  # what the text student reads
        pa.field("terms", pa.list_(pa.string())),  # observed HP ids that the note states
        pa.field("excluded_terms", pa.list_(pa.string())),
        pa.field("face_terms", pa.list_(pa.string())),  # HP ids that the image shows
        pa.field("image", pa.binary()),  # encoded bytes (PNG, JPEG), never decoded pixels
        pa.field("description", pa.string(), nullable=False),  # of the image; the teacher's alone
        pa.field("sex", pa.string()),  # male | female | unknown
        pa.field("age", pa.string()),  # ISO 8601 duration
        pa.field("publications", pa.list_(pa.string())),  # "PMID:..." ids
        pa.field("source", pa.string(), nullable=False),
    ]
)

# A row that could not be used: what it was, where it came from, why it was turned away.
# No text of the row itself: ids and reasons only.
REJECTED_SCHEMA = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class ParsedCase:
    """A case, and what the file says beside it.

    Attributes:
        case: without note, image and split; its group is itself until cases are grouped.
        forbidden: strings that give the answer away and must never be in a prompt: names and
            ids of its diseases, gene symbols, variants, publications; sorted.
        counts: what was changed: `mapped_terms` (retired ids), `unknown_terms`,
            `non_phenotype_terms`, `malformed_features` (all three dropped), `repeated_terms`,
            `conflicting_terms` (observed and excluded: observed counts), `unmapped_age` (not a
            duration since birth: null), `several_diseases` (the first is taken).
    """

    case: Case
    forbidden: tuple[str, ...]
    counts: Counter[str]


@dataclass(frozen=True)
class RejectedCase:
    """A phenopacket that was turned away; a row of `REJECTED_SCHEMA`.

    `case_id` is the phenopacket's id, or the file's name where there is no id to be had.
    """

    case_id: str
    source: str
    reason: str
