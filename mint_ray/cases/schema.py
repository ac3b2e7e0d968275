"""Schema of cases: one patient or one tile per row of `cases.parquet`."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal, TypedDict

import pyarrow as pa

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

SEXES = ("female", "male")
"""Of a case whose sex is known; else it is "unknown"."""

SIMULATED = "simulated"
"""Source of a case that was drawn from annotations."""

RENDERING = "rendering"
"""Source of a case that is another record of a training case."""

RECOMBINED = "recombined"
"""Source of a case that has findings of several training cases of one disease."""

MADE_SOURCES = (RENDERING, RECOMBINED)
"""Sources of training cases that were made from others. They teach a student; no teacher or
baseline is fitted to them, and no figure counts them as patients."""


def origin_of(case_id: str) -> str:
    """Return the id of the case that a made case was made from."""
    return case_id.rpartition("#")[0]


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
    """Return a case with no facts but its id and source.

    Its `group_id` is `case_id`, so that the case is a group of its own.
    """
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
        # Cases of one group stay in one split: source publication, family, patient or slide.
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("split", pa.string()),  # train | validation | test; null before splitting
        pa.field("label_id", pa.string()),  # the known answer; null if it is not known
        pa.field("label_name", pa.string()),
        # The label has a training case, not counting cases simulated beside published ones.
        pa.field("seen", pa.bool_()),
        pa.field("note", pa.string(), nullable=False),  # the text that a student reads
        pa.field("terms", pa.list_(pa.string())),  # observed HP ids that the note states
        pa.field("excluded_terms", pa.list_(pa.string())),
        pa.field("face_terms", pa.list_(pa.string())),  # HP ids that the image shows
        pa.field("image", pa.binary()),  # encoded bytes (PNG, JPEG), never decoded pixels
        # For the teacher only: words about the image, or the laboratory report of a patient.
        pa.field("description", pa.string(), nullable=False),
        pa.field("sex", pa.string()),  # male | female | unknown
        pa.field("age", pa.string()),  # ISO 8601: years, months, days
        pa.field("publications", pa.list_(pa.string())),  # "PMID:1", "PMC1", "DOI:10..."
        pa.field("source", pa.string(), nullable=False),
    ]
)

# A case that could not be used: its id, its source and the reason.
# Ids and reasons only: text of the case itself may identify a patient.
REJECTED_SCHEMA = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class ParsedCase:
    """A parsed case, the strings that reveal its answer, and counts of what parsing changed.

    Attributes:
        case: one from a phenopacket has neither note, image nor split, and is a group of its own
            until cases are grouped.
        forbidden: strings that reveal the answer and must never be in a prompt: names and ids of
            the case's diseases, gene symbols, variants, publications; sorted.
        counts: changes by kind. Of findings: `mapped_terms` (retired ids), `grounded_terms` (names
            in the place of ids), `unknown_terms`, `non_phenotype_terms`, `malformed_features` (all
            three dropped), `repeated_terms`, `conflicting_terms` (observed and excluded: observed
            counts).
            Of the patient: `unmapped_age`, `unmapped_sex` (not read: null), `sex_from_karyotype`,
            `sex_by_iso_5218` (1 male, 2 female). Of the answer: `several_diseases` (the first is
            taken), `grounded_labels` (names), `gene_as_disease`, `unreadable_disease`,
            `unreadable_label`, `solved_without_disease` (all four: no known answer).
            Of the rest: `empty_notes` (without a word), `publications_found_in_text`,
            `unread_publications`, `other_encodings` (text that is not UTF-8, read as Windows-1252).
        genes: symbols and ids of the genes that the source gives as the cause; as they stand.
        stated: texts of the columns of the answer of a table of notes; as they stand.
    """

    case: Case
    forbidden: tuple[str, ...]
    counts: Counter[str]
    genes: tuple[str, ...] = ()
    stated: tuple[str, ...] = ()


@dataclass(frozen=True)
class RejectedCase:
    """A case that was turned away; a row of `REJECTED_SCHEMA`.

    `case_id` is the id in the source. For a phenopacket without a usable id it is the file's
    name (with its place in the file where it holds several), for a table row without one it is
    empty.
    """

    case_id: str
    source: str
    reason: str
