"""Cases from a parquet table: a user's own notes, photographs and labels."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.cases.schema import CASE_SCHEMA, Case, ParsedCase, RejectedCase
from mint_ray.errors import DataError

SOURCE = "parquet"
_DEFAULTS: dict[str, Any] = {"note": "", "description": "", "sex": "unknown", "source": SOURCE}


def read_case_table(path: Path) -> Iterator[ParsedCase | RejectedCase]:
    """Yield every row of a case table, as a case or a rejection.

    Only `case_id` is required. A missing column has its default; further columns are ignored.
    A row is rejected with `no_id`, `duplicate_id`, or `no_modality` (neither note, terms nor
    image). `group_id` defaults to `case_id`. Blank publications are dropped, since they would
    join cases that have nothing in common.

    Raises:
        DataError: the file is absent or damaged, or a column has another type.
    """
    table = _read(path)
    earlier_ids: set[str] = set()
    for row in table.to_pylist():
        reason = _reason(row, earlier_ids)
        case_id = row["case_id"] or ""
        if reason is not None:
            yield RejectedCase(case_id, SOURCE, reason)
            continue
        earlier_ids.add(case_id)
        yield ParsedCase(_case(row), (), Counter())


def _read(path: Path) -> pa.Table:
    expected = ", ".join(CASE_SCHEMA.names)
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: expected a parquet table of cases ({expected}), found a file that cannot "
            f"be read as one ({type(error).__name__}); check the path, or write the table again"
        ) from error
    if "case_id" not in table.column_names:
        raise DataError(
            f"{path}: expected a column case_id (of {expected}), found none; add an id to each row"
        )
    columns = []
    for field in CASE_SCHEMA:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        try:
            columns.append(table[field.name].cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"{path}: column {field.name} should be {field.type}, "
                f"found {table[field.name].type}; convert the column"
            ) from error
    return pa.table(columns, schema=pa.schema([f.with_nullable(True) for f in CASE_SCHEMA]))


def _reason(row: dict[str, Any], earlier_ids: set[str]) -> str | None:
    if not row["case_id"]:
        return "no_id"
    if row["case_id"] in earlier_ids:
        return "duplicate_id"
    has_any = (row["note"] or "").strip() or row["terms"] or row["face_terms"] or row["image"]
    return None if has_any else "no_modality"


def _case(row: dict[str, Any]) -> Case:
    filled = {name: _default(name) if value is None else value for name, value in row.items()}
    filled["group_id"] = row["group_id"] or row["case_id"]
    filled["publications"] = [p for p in filled["publications"] if p and p.strip()]
    return cast(Case, filled)


def _default(name: str) -> Any:
    if pa.types.is_list(CASE_SCHEMA.field(name).type):
        return []
    return _DEFAULTS.get(name)
