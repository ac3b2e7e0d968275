"""Columns of a table of clinical notes: which one holds what, and what its values mean."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from mint_ray.cases.schema import CASE_SCHEMA
from mint_ray.cases.table import AGE_COLUMNS, spelled_column
from mint_ray.config.cases import NoteColumnsConfig
from mint_ray.errors import DataError

AUTO = "auto"

USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "note": (
        "note",
        "clinical_note",
        "clinical_notes",
        "note_text",
        "text",
        "narrative",
        "case_description",
        "case_report",
        "description",
        "report",
        "notes",
        "note_body",
        "free_text",
        "freetext",
        "clinical_text",
        "clinical_narrative",
        "clinical_description",
        "clinical_summary",
        "clinical_history",
        "case_text",
        "case_summary",
        "discharge_summary",
        "patient_note",
        "vignette",
        "letter",
        "summary",
        "history_of_present_illness",
        "hpi",
        "anamnese",
        "befund",
        "arztbrief",
    ),
    "id": ("note_id", "case_id", "id", "row_id", "uid", "study_id"),
    "label_id": (
        "label_id",
        "omim_id",
        "disease_id",
        "omim",
        "mim",
        "omim_number",
        "mim_number",
        "orpha",
        "orpha_code",
    ),
    "label_name": ("label_name", "disease", "disease_name", "diagnosis", "label", "condition"),
    "gene": ("gene", "gene_symbol", "genes", "causative_gene", "hgnc_symbol"),
    "group": ("group_id", "group", "patient_id", "subject_id", "patient", "family_id", "family"),
    "publication": (
        "publications",
        "publication",
        "pmid",
        "pmids",
        "pubmed_id",
        "doi",
        "reference",
        "source_publication",
    ),
    "sex": ("sex", "gender"),
    "age": (*AGE_COLUMNS, "age_at_last_encounter"),
}
"""Names that `auto` looks for, the first one first; case, spaces and hyphens do not count."""

_ANSWERS_OF_NOTES = {
    name for role in ("label_id", "label_name", "gene") for name in USUAL_NAMES[role]
} - set(CASE_SCHEMA.names)


def choose_columns(
    columns: Sequence[str], settings: NoteColumnsConfig, path: Path
) -> dict[str, str]:
    """Return the column of each role (`note`, `id`, `label_id`, ...) that the table has.

    Args:
        columns: names in the table.
        settings: a name, `auto` or None for each role.
        path: of the table, for messages.

    Raises:
        DataError: a configured column, or any column of notes, is missing.
    """
    by_spelling: dict[str, str] = {}
    for column in columns:
        by_spelling.setdefault(spelled_column(column), column)
    found = ", ".join(columns) or "no column"
    chosen: dict[str, str] = {}
    for role, wanted in settings.model_dump().items():
        if wanted is None:
            continue
        if wanted != AUTO and wanted not in columns:
            raise DataError(
                f"{path}: expected a column {wanted} (cases.note_columns.{role}), found {found}; "
                f"set cases.note_columns.{role} to one of these"
            )
        usual = (by_spelling.get(name) for name in USUAL_NAMES[role])
        if wanted != AUTO:
            chosen[role] = wanted
        elif (known := next(filter(None, usual), None)) and known not in chosen.values():
            chosen[role] = known
    if "note" not in chosen:
        raise DataError(
            f"{path}: expected a column of notes ({', '.join(USUAL_NAMES['note'])}), "
            f"found {found}; set cases.note_columns.note to one of these"
        )
    return chosen


def are_of_notes(columns: Collection[str]) -> bool:
    """Return whether columns are those of a table of notes, and not of a case table.

    A case table has `case_id` and a column `terms`, `face_terms` or `image`; or `note`, and no
    answer under a name that case tables do not have, which would be read past and not masked.
    """
    spelled = set(map(spelled_column, columns))
    has_findings = not {"terms", "face_terms", "image"}.isdisjoint(spelled)
    states_answer = not _ANSWERS_OF_NOTES.isdisjoint(spelled)
    of_case_table = has_findings or ("note" in spelled and not states_answer)
    if "case_id" in spelled and of_case_table:
        return False
    return not spelled.isdisjoint(USUAL_NAMES["note"])


def text_of(value: Any) -> str:
    """Return a value as stripped text; nothing, NaN and lists of nothing give ""."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | tuple):
        return "; ".join(filter(None, map(text_of, value)))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def split_list(text: str) -> list[str]:
    """Return the items of a text that lists several, by commas, semicolons, bars or slashes."""
    return [item.strip() for item in re.split(r"[;,|/]", text) if item.strip()]
