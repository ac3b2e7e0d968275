"""Cases from a table of clinical notes, as they stand: one note is one case."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mint_ray.cases.patients.clinical_notes.columns import choose_columns, split_list, text_of
from mint_ray.cases.patients.clinical_notes.files import read_note_table
from mint_ray.cases.schema import Case, ParsedCase, RejectedCase, blank_case
from mint_ray.cases.table import (
    AGE_COLUMNS,
    AGE_UNIT_COLUMNS,
    age_of,
    has_words,
    publications_of,
    sex_of,
    spelled_column,
    stated,
    stated_age,
)
from mint_ray.config.cases import NoteColumnsConfig
from mint_ray.knowledge.annotations import Annotations
from mint_ray.knowledge.ids import find_publications, is_doubted, read_disease_ids
from mint_ray.knowledge.names import normalise

SOURCE = "notes"
"""Source of cases that were written by people (or models) as free text."""


def read_notes(
    path: Path, columns: NoteColumnsConfig, annotations: Annotations, namespace: str
) -> Iterator[ParsedCase | RejectedCase]:
    """Yield every row of a table of notes, as a case or a rejection.

    A case has its note as it stands, and no findings: they are read when its answer is masked.
    A row is rejected with `not_json` (a damaged line), `wrong_fields` (a line of text with another
    number of fields than the header), `no_modality` (a note without a word) or
    `duplicate_id` (an earlier row has the same id and note).

    Counts: `rows_without_id` (numbered by row), `repeated_ids` (numbered; one group),
    `without_label`, `unread_labels` (a label that is neither an id nor the name of one disease),
    `several_diseases` (the first one counts), `without_publication`, and those of
    `publications_of`, `sex_of` and `age_of`.

    Args:
        path: see `read_note_table`.
        columns: which column holds what.
        annotations: names of diseases, for labels that are names.
        namespace: id prefix of the labels, which a name is looked up in first.

    Raises:
        DataError: the table cannot be read, or lacks a column.
    """
    table = read_note_table(path)
    chosen = choose_columns(table.columns, columns, path)
    names = _disease_names(annotations, namespace)
    yield from [RejectedCase("", SOURCE, "wrong_fields")] * table.skipped_lines
    ages = _age_columns(table.columns, chosen)
    stem = path.name.partition(".")[0]
    taken: set[str] = set()
    known: set[tuple[str, bytes]] = set()
    for number, row in enumerate(table.rows):
        numbered = f"{stem}-{number:06d}"
        if row is None:
            yield RejectedCase(numbered, SOURCE, "not_json")
            continue
        values = {role: stated(text_of(row.get(column))) for role, column in chosen.items()}
        note = row.get(chosen["note"])
        stated_id = values.get("id", "")
        if not isinstance(note, str) or not has_words(note):
            yield RejectedCase(stated_id or numbered, SOURCE, "no_modality")
            continue
        content = (stated_id, hashlib.blake2b(note.encode("utf-8", "replace")).digest())
        if stated_id and content in known:
            yield RejectedCase(stated_id, SOURCE, "duplicate_id")
            continue
        known.add(content)
        counts: Counter[str] = Counter()
        counts["rows_without_id"] = "id" in chosen and not stated_id
        case_id = stated_id or numbered
        counts["repeated_ids"] = case_id in taken
        case_id = _free_id(case_id, taken)
        taken.add(case_id)
        case = blank_case(case_id, SOURCE)
        case |= {"note": note, "group_id": values.get("group") or stated_id or case_id}
        written = {name: text_of(row.get(column)) for name, column in ages.items()}
        case["age"] = age_of(stated_age(written), counts)
        yield _parsed(case, values, stated_id, names, counts)


def _parsed(
    case: Case,
    values: Mapping[str, str],
    stated_id: str,
    names: Mapping[str, str | None],
    counts: Counter[str],
) -> ParsedCase:
    """Fill in a case what the other columns say of it."""
    label_text, label_name = values.get("label_id", ""), values.get("label_name", "")
    label_id = None
    for text in (label_text, label_name):
        if label_id is None:
            stated = read_disease_ids(text) or _named(text, names)
            counts["several_diseases"] += len(stated) > 1
            label_id = next(iter(stated), None)
    counts["without_label"] = label_id is None
    counts["unread_labels"] = label_id is None and bool(label_text or label_name)
    publications = publications_of([values.get("publication")], counts)
    publications = publications or sorted(find_publications(stated_id[:80]))[:1]
    counts["without_publication"] = not publications
    case |= {
        "label_id": label_id,
        "label_name": (label_name or None) if label_id else None,
        "publications": sorted(publications),
        "sex": sex_of(values.get("sex"), counts),
    }
    genes = split_list(values.get("gene", ""))
    revealing = {label_text, label_name, label_id or "", *genes, *publications} - {""}
    answers = tuple(filter(None, (label_text, label_name)))
    return ParsedCase(case, tuple(sorted(revealing)), +counts, tuple(genes), answers)


def _age_columns(columns: Sequence[str], chosen: Mapping[str, str]) -> dict[str, str]:
    """Return the columns that say a patient's age, by their names for `stated_age`.

    They are the chosen one, and those that go with a usual one, such as that of its unit.
    """
    if "age" not in chosen:
        return {}
    spelled = {spelled_column(column): column for column in columns}
    usual = {name: spelled[name] for name in (*AGE_COLUMNS, *AGE_UNIT_COLUMNS) if name in spelled}
    return usual if chosen["age"] in usual.values() else {"age": chosen["age"]}


def _named(text: str, names: Mapping[str, str | None]) -> list[str]:
    """Return the diseases that a text names; "MARFAN SYNDROME; MFS" is one title of OMIM."""
    if is_doubted(text):
        return []
    whole = names.get(normalise(text))
    parts = [whole] if whole else [names.get(normalise(part)) for part in text.split(";")]
    return list(dict.fromkeys(filter(None, parts)))


def _free_id(case_id: str, taken: set[str]) -> str:
    """Return the id, with a number if an earlier note has it."""
    free, number = case_id, 2
    while free in taken:
        free, number = f"{case_id}#{number}", number + 1
    return free


def _disease_names(annotations: Annotations, namespace: str) -> dict[str, str | None]:
    """Return normalised name -> disease id; None for a name that several diseases share."""
    own = f"{namespace}:"
    found: dict[str, str | None] = {}
    for first in (False, True):  # the namespace's own names last, since they outrank the others
        names: dict[str, str | None] = {}
        for any_id, name in annotations.diseases.items():
            if any_id.startswith(own) is not first:
                continue
            for spelling in (name, *annotations.other_names.get(any_id, ())):
                key = normalise(spelling)
                names[key] = any_id if names.get(key, any_id) == any_id else None
        found |= names
    found.pop("", None)
    return found
