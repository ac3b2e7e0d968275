"""Cases from a table: a user's own notes, photographs, findings and labels."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import pyarrow as pa

from mint_ray.cases.demographics import UNSTATED, AgeUnit, read_age, read_coded_sex, read_sex
from mint_ray.cases.findings import TermReader
from mint_ray.cases.schema import CASE_SCHEMA, Case, ParsedCase, RejectedCase
from mint_ray.common.tables.files import read_table_file
from mint_ray.errors import DataError
from mint_ray.knowledge.grounding import DiseaseNames, disease_names
from mint_ray.knowledge.ids import find_publications, is_doubted, is_gene_id, read_disease_ids
from mint_ray.knowledge.ontology import Ontology

SOURCE = "parquet"
_DEFAULTS: dict[str, Any] = {"note": "", "description": "", "sex": "unknown", "source": SOURCE}
_TERM_COLUMNS = ("terms", "excluded_terms", "face_terms")
_LIST_COLUMNS = (*_TERM_COLUMNS, "publications")
AGE_COLUMNS: dict[str, AgeUnit] = {
    "age": "years",
    "age_years": "years",
    "age_months": "months",
    "age_weeks": "weeks",
    "age_days": "days",
}
"""Columns of ages, with the unit of a bare number."""
AGE_UNIT_COLUMNS = ("age_unit", "age_units")
"""Columns with the unit of the column `age`."""
_WHOLE = re.compile(r"\d{1,3}(?:\.0)?", re.ASCII)
_FEW_MONTHS = re.compile(r"(?:\d|1[01])(?:\.0)?", re.ASCII)
_MASKS = frozenset("redacted removed deleted masked xx xxx xxxx empty nbsp".split())  # noqa: SIM905
_MARKUP = re.compile(r"<[^<>]{0,200}>|\[\*\*[^\n]{0,200}?\*\*\]|&[a-z]+;|_")


class _Table(NamedTuple):
    """Columns of `CASE_SCHEMA`, those without a value as null, and what the file says of them."""

    rows: pa.Table
    skipped_lines: int


def read_case_table(
    path: Path, ontology: Ontology, namespace: str = "OMIM"
) -> Iterator[ParsedCase | RejectedCase]:
    """Yield every row of a case table, as a case or a rejection.

    Only `case_id` is required. A missing column has its default; further columns are ignored.
    Findings, ages, sexes, labels and publications are read as people write them; see
    `cases.findings`, `cases.demographics` and `knowledge.ids`. What cannot be read is null, and
    counted by column.

    A row is rejected with `no_id`, `duplicate_id`, `wrong_fields` (a line of text with another
    number of fields than the header), `no_observed_features` (findings are given, but none that the
    ontology knows as observed, and neither note nor image) or `no_modality` (neither note, findings
    nor image; a note needs a word). `group_id` defaults to `case_id`.

    Args:
        path: a parquet, CSV or tab-separated file.
        ontology: resolves and names findings.
        namespace: id prefix of the diseases whose names are read as labels.

    Raises:
        DataError: the file is absent, damaged or of another kind, or a column has another type.
    """
    table = _read(path)
    yield from [RejectedCase("", SOURCE, "wrong_fields")] * table.skipped_lines
    earlier_ids: set[str] = set()
    for row in table.rows.to_pylist():
        case_id = (row["case_id"] or "").strip()
        if not case_id or case_id in earlier_ids:
            yield RejectedCase(case_id, SOURCE, "duplicate_id" if case_id else "no_id")
            continue
        counts: Counter[str] = Counter()
        case = _case(row | {"case_id": case_id}, ontology, namespace, counts)
        if case["terms"] or case["face_terms"] or case["note"] or case["image"]:
            earlier_ids.add(case_id)
            yield ParsedCase(case, (), +counts)
            continue
        has_findings = any(stated(cell) for name in _TERM_COLUMNS for cell in row[name] or ())
        yield RejectedCase(
            case_id, SOURCE, "no_observed_features" if has_findings else "no_modality"
        )


def spelled_column(name: str) -> str:
    """Return a column's name in small letters, with underscores for all other marks."""
    return re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")


def has_words(note: str | None) -> bool:
    """Return whether a note has a word: markup, masks and words for "no value" do not count."""
    text = " ".join(_MARKUP.sub(" ", note or "").split()).strip("\"'").lower()
    words = (word for word in re.findall(r"[^\W\d]+", text) if word not in UNSTATED | _MASKS)
    # A single letter is no word, except of a script that writes words so.
    return text not in UNSTATED and any(len(w) > 1 or not w.isascii() for w in words)


def _read(path: Path) -> _Table:
    table, skipped_lines = read_table_file(path)
    table = _without_empty_columns(table)
    table = table.rename_columns(_known_names(table.column_names))
    names = table.column_names
    repeated = sorted(name for name, n in Counter(names).items() if n > 1)
    if repeated:
        raise DataError(
            f"{path}: expected each column once, found {', '.join(repeated)} more than once; "
            "rename or drop the others"
        )
    if "case_id" not in names:
        raise DataError(
            f"{path}: expected a column case_id (of {', '.join(CASE_SCHEMA.names)}), found none "
            f"among {', '.join(names) or 'no columns'}; add an id to each row"
        )
    columns = []
    for field in CASE_SCHEMA:
        read = (*AGE_COLUMNS, *AGE_UNIT_COLUMNS) if field.name == "age" else (field.name,)
        given = {
            name: _cast(table[name], field, f"{path}: column {name}")
            for name in read
            if name in names
        }
        if not given:
            columns.append(pa.nulls(table.num_rows, field.type))
        elif field.name == "age":
            cells = pa.table(given).to_pylist()
            columns.append(pa.array(map(stated_age, cells), field.type))
        else:
            columns.append(given[field.name])
    schema = pa.schema([field.with_nullable(True) for field in CASE_SCHEMA])
    return _Table(pa.table(columns, schema=schema), skipped_lines)


def _without_empty_columns(table: pa.Table) -> pa.Table:
    """Return a table without columns that have neither a name nor a value, as spreadsheets add."""
    empty = [
        place
        for place, name in enumerate(table.column_names)
        if not name.strip() and not any(map(stated, map(str, table[place].drop_null().to_pylist())))
    ]
    return table.select([at for at in range(table.num_columns) if at not in empty])


def _known_names(names: Sequence[str]) -> list[str]:
    """Return names of columns, those of the schema as it writes them: "sex" for "Sex".

    "Age (months)" becomes `age_months`.
    """
    known = {*CASE_SCHEMA.names, *AGE_COLUMNS, *AGE_UNIT_COLUMNS}
    tidy = [spelled_column(name) for name in names]
    return [t if t in known and t not in names else n for n, t in zip(names, tidy, strict=True)]


def _cast(column: pa.ChunkedArray, field: pa.Field, place: str) -> pa.ChunkedArray:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    is_text = pa.types.is_string(kind) or _is_large_string(kind)
    try:
        if pa.types.is_list(field.type) and is_text:
            # A cell of text is a list of one, which `TermReader` and `publications_of` divide.
            cells = column.cast(pa.string()).to_pylist()
            lists = [None if cell is None else [cell] for cell in cells]
            return pa.chunked_array([pa.array(lists, field.type)])
        if pa.types.is_binary(field.type) and is_text and column.null_count < len(column):
            raise pa.ArrowInvalid("text is not an encoded image")
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"{place} should be {field.type}, found {column.type}; convert the column"
        ) from error


def _is_large_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _case(
    row: dict[str, Any],
    ontology: Ontology,
    namespace: str,
    counts: Counter[str],
) -> Case:
    filled = {name: _default(name) if value is None else value for name, value in row.items()}
    if filled["note"] and not has_words(filled["note"]):
        counts["empty_notes"] += 1
        filled["note"] = ""
    reader = TermReader(ontology, counts)
    terms = {name: reader.read_cells(filled[name]) for name in _TERM_COLUMNS}
    observed = [*terms["terms"], *terms["face_terms"]]
    terms["excluded_terms"] = reader.without_observed(terms["excluded_terms"], observed)
    names = disease_names(namespace, ontology.release)
    label_id, label_name = _label(row["label_id"], row["label_name"], names, counts)
    filled |= {
        **terms,
        "group_id": stated(row["group_id"]) or row["case_id"],
        "publications": publications_of(filled["publications"], counts),
        "sex": sex_of(row["sex"], counts),
        "age": age_of(row["age"], counts),
        "label_id": label_id,
        "label_name": label_name,
    }
    return cast(Case, filled)


def _label(
    written: str | None, name: str | None, names: DiseaseNames, counts: Counter[str]
) -> tuple[str | None, str | None]:
    """Return id and name of the known answer; a name in the place of the id is looked up.

    Counts `grounded_labels`, `several_diseases` (the first is taken), `gene_as_disease` and
    `unreadable_label`; the latter two leave a case without a known answer.
    """
    said, name = stated(written), stated(name)
    if not (said or name):
        return None, None
    label_ids = read_disease_ids(said or name)
    if any(names.is_gene_entry(label_id, name) for label_id in label_ids):
        counts["gene_as_disease"] += 1
        return None, None
    if not label_ids:
        is_gene = bool(said) and (is_gene_id(said) or names.is_gene(said))
        # "MARFAN SYNDROME; MFS": a title of OMIM, or several names.
        answer = said or name
        parts = [] if is_gene or is_doubted(answer) else [answer, *answer.split(";")]
        label_ids = list(dict.fromkeys(found for part in parts if (found := names.ground(part))))
        grounded = label_ids[0] if label_ids else None
        counts["several_diseases"] += len(label_ids) > 1
        counts["grounded_labels"] += grounded is not None
        counts["gene_as_disease"] += is_gene
        counts["unreadable_label"] += grounded is None and not is_gene
        return grounded, (name or said) if grounded else None
    counts["several_diseases"] += len(label_ids) > 1
    return label_ids[0], name or None


def publications_of(cells: Iterable[str | None], counts: Counter[str]) -> list[str]:
    """Return publications in one spelling; unread ones as they are, to group cases by.

    Args:
        cells: ids, addresses or citations, each with several or none.
        counts: gets `unread_publications`.
    """
    publications: dict[str, None] = {}
    for cell in cells:
        for part in re.split(r"[;|\n]", cell or ""):
            text = stated(part)
            found = sorted(find_publications(text, bare_numbers=True))
            # Numbers are ids in a list of ids only: "Smith et al., 2019" has none.
            pieces = [find_publications(piece, True) for piece in re.split("[,/]", text)]
            found = found or (sorted(set().union(*pieces)) if all(pieces) else [])
            counts["unread_publications"] += bool(text) and not found
            publications |= dict.fromkeys(found or ([text] if text else []))
    return list(publications)


def sex_of(value: str | None, counts: Counter[str]) -> str:
    """Return `female`, `male` or `unknown` for a cell of a table.

    Args:
        value: a word or a digit; see `read_sex` and `read_coded_sex`.
        counts: gets `sex_by_iso_5218` and `unmapped_sex`.
    """
    coded = read_coded_sex(value)
    if coded is not None:
        counts["sex_by_iso_5218"] += coded != "unknown"
        return coded
    try:
        return read_sex(value)
    except ValueError:
        counts["unmapped_sex"] += 1
        return "unknown"


def stated_age(cells: Mapping[str, str | None]) -> str:
    """Return the age that a row states, as a text for `age_of`; empty where it states none.

    Years and months below twelve belong together. Else the first of the columns that has a value
    counts, a bare number in the column's unit or in that of `AGE_UNIT_COLUMNS`.

    Args:
        cells: of the row by column, spelled as in `AGE_COLUMNS` and `AGE_UNIT_COLUMNS`.
    """
    found = {name: text for name in AGE_COLUMNS if (text := stated(cells.get(name)))}
    unit = next(filter(None, (stated(cells.get(name)) for name in AGE_UNIT_COLUMNS)), "")
    whole, months = found.get("age") or found.get("age_years"), found.get("age_months")
    if whole and months and not unit and _WHOLE.fullmatch(whole) and _FEW_MONTHS.fullmatch(months):
        return f"{whole} years {months} months"
    for name, text in found.items():
        named = (name == "age" and unit) or AGE_COLUMNS[name]
        return f"{text} {named}" if re.fullmatch(r"[\d.,]+", text, re.ASCII) else text
    return ""


def age_of(value: str | None, counts: Counter[str]) -> str | None:
    """Return the age in a cell of a table as an ISO 8601 duration, None if there is none.

    Args:
        value: see `read_age`.
        counts: gets `unmapped_age`.
    """
    try:
        return read_age(value)
    except ValueError:
        counts["unmapped_age"] += 1
        return None


def stated(text: str | None) -> str:
    """Return a text without blanks around it; empty if it is a word for "no value"."""
    stripped = " ".join((text or "").split())
    return "" if stripped.lower() in UNSTATED else stripped


def _default(name: str) -> Any:
    if pa.types.is_list(CASE_SCHEMA.field(name).type):
        return []
    return _DEFAULTS.get(name)
