"""Columns of a table of clinical notes: which one holds what, and what its values mean."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

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
    ),
    "id": ("note_id", "case_id", "id", "row_id", "uid", "study_id"),
    "label_id": ("label_id", "omim_id", "disease_id", "omim", "mim", "orpha", "orpha_code"),
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
    "age": ("age", "age_years", "age_at_last_encounter"),
}
"""Names that `auto` looks for, the first one first; case, spaces and hyphens do not count."""

_SEXES = {"f": "female", "female": "female", "w": "female", "woman": "female", "girl": "female"} | {
    "m": "male",
    "male": "male",
    "man": "male",
    "boy": "male",
}
_DURATION = re.compile(r"P(?=\d)(?:\d+Y)?(?:\d+M)?(?:\d+W)?(?:\d+D)?", re.IGNORECASE)
_AGE = re.compile(
    r"(\d{1,3})(?:\.(\d+))?\s*-?\s*(y|yo|y/o|yrs?|years?|m|mo|mos|months?|w|wks?|weeks?|d|days?)?"
    r"(?:[\s-]*old)?",
    re.IGNORECASE,
)
_PREFIXES = {"ORPHANET": "ORPHA", "ORDO": "ORPHA", "MIM": "OMIM"}
_KNOWN_ID = re.compile(
    r"\b(OMIM|MIM|ORPHANET|ORPHA|ORDO|MONDO|DECIPHER)(?=[\W_\d])[:_#%+*\s]*(\d{1,9})(?!\d)",
    re.IGNORECASE,
)
_OTHER_ID = re.compile(r"([A-Za-z]{2,12}):\s*(\d{1,9})")
_NO_WORDS = frozenset(
    "nan none null na nil empty missing unknown redacted removed deleted masked xx xxx xxxx"  # noqa: SIM905
    " nbsp".split()
)
_NOT_DISEASES = frozenset(["HGNC", "NCBIGENE", "ENTREZ", "HP", "PMID"])
_BARE_MIM = re.compile(r"[#*%+]?\s*([1-6]\d{5})(?:\.0)?")
_PUBMED = re.compile(
    r"(?:PMID|PUBMED(?:\.NCBI\.NLM\.NIH\.GOV)?|MEDLINE)[\s:_/#.=-]*0*(\d{3,9})", re.IGNORECASE
)
_BARE_PUBMED = re.compile(r"0*(\d{5,8})(?:\.0)?")
_DOI = re.compile(r"\b(10\.\d{4,9}/[^\s\"<>;,]+)", re.IGNORECASE)
_PMC = re.compile(r"\bPMC\s*:?\s*(\d{4,9})", re.IGNORECASE)


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
        by_spelling.setdefault(_spelling(column), column)
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

    A case table has `case_id` and a column `note`, `terms`, `face_terms` or `image`.
    """
    of_case_table = "case_id" in columns and bool(
        {"note", "terms", "face_terms", "image"} & set(columns)
    )
    return not of_case_table and bool(set(map(_spelling, columns)) & set(USUAL_NAMES["note"]))


def text_of(value: Any) -> str:
    """Return a value as stripped text; nothing, NaN and lists of nothing give ""."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | tuple):
        return "; ".join(filter(None, map(text_of, value)))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def has_words(note: object) -> bool:
    """Return whether a note has a word: tags, masks and words for "no value" are none."""
    if not isinstance(note, str):
        return False
    words = re.findall(
        r"[^\W\d_]+", re.sub(r"<[^<>]{0,80}>|\bn/a\b", " ", note, flags=re.IGNORECASE)
    )
    # A single letter is no word, except of a script that writes words so.
    return any((len(w) > 1 or not w.isascii()) and w.casefold() not in _NO_WORDS for w in words)


def split_list(text: str) -> list[str]:
    """Return the items of a text that lists several, by commas, semicolons, bars or slashes."""
    return [item for item in re.split(r"\s*[;,|/]\s*", text) if item]


def disease_id(text: str) -> str | None:
    """Return a disease id in one spelling, None if there is none: "ORPHA:558", "OMIM:154700".

    A number alone is one of OMIM if it has six digits, as OMIM's have.
    """
    if bare := _BARE_MIM.fullmatch(text):
        return f"OMIM:{bare[1]}"
    match = _KNOWN_ID.search(text) or _OTHER_ID.fullmatch(text)
    if match is None or match[1].upper() in _NOT_DISEASES:
        return None
    prefix = match[1].upper()
    return f"{_PREFIXES.get(prefix, prefix)}:{match[2]}"


def publication_ids(text: str, bare_numbers: bool = False) -> list[str]:
    """Return the publications that a text names, as "PMID:1", "DOI:10.1/x" or "PMC1".

    Args:
        text: ids, addresses or a citation.
        bare_numbers: whether a number without a prefix is a PubMed id, as in a column of them.
    """
    found = [f"PMID:{number}" for number in _PUBMED.findall(text)]
    found += [f"DOI:{doi.rstrip('.)]').lower()}" for doi in _DOI.findall(text)]
    found += [f"PMC{number}" for number in _PMC.findall(text)]
    if not found and bare_numbers:
        matches = map(_BARE_PUBMED.fullmatch, split_list(text))
        found = [f"PMID:{match[1]}" for match in matches if match]
    return list(dict.fromkeys(found))


def sex_of(text: str) -> str | None:
    """Return "female" or "male", "unknown" for nothing, None for other words."""
    return _SEXES.get(text.casefold()) if text else "unknown"


def age_of(text: str) -> str | None:
    """Return an age as an ISO 8601 duration, None if it is none: "4", "18 months", "P4Y"."""
    if _DURATION.fullmatch(text):
        return text.upper()
    match = _AGE.fullmatch(text)
    if match is None:
        return None
    whole, part, unit = int(match[1]), match[2], (match[3] or "y")[0].upper()
    if part and unit == "Y":
        months = round(float(f"0.{part}") * 12)
        whole, months = whole + months // 12, months % 12
        return f"P{whole}Y{months}M" if months else f"P{whole}Y"
    return f"P{whole}{unit}"


def _spelling(column: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", column.casefold()).strip("_")
