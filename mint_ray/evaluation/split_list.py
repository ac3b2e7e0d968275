"""List of the splits of a case store as a CSV file, which makes a benchmark that others can run.

It names cases by id and holds neither their text nor their answers, which the case store has.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from mint_ray.cases.splits import check_no_leakage
from mint_ray.common.files import replacing
from mint_ray.errors import DataError
from mint_ray.evaluation.case_sample import SampledFrom

SPLIT_LIST_SCHEMA = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("group_id", pa.string(), nullable=False),  # publication, family, patient or slide
        pa.field("split", pa.string()),  # train, validation or test
        pa.field("seen", pa.bool_()),  # whether the answer has training cases
        pa.field("tested", pa.bool_(), nullable=False),  # whether systems are measured on the case
        pa.field("seed", pa.int64(), nullable=False),  # of splits and sample
        pa.field("fold", pa.int64()),  # tested part of a cross-validation, from 0; empty without
    ]
)


def split_list(cases: pa.Table, tested: pa.Table, origin: SampledFrom) -> pa.Table:
    """Return the rows of a list, by ascending case id.

    Args:
        cases: case_id, group_id, split and seen of all cases.
        tested: the rows of those that systems are measured on.
        origin: of the tested cases.
    """
    rows = cases.select(["case_id", "group_id", "split", "seen"]).sort_by("case_id")
    n = rows.num_rows
    columns = {
        **{name: rows[name] for name in rows.column_names},
        "tested": pc.is_in(rows["case_id"], tested["case_id"].combine_chunks()),
        "seed": pa.repeat(origin.seed, n),
        "fold": pa.array([origin.fold] * n, pa.int64()),
    }
    return pa.table(columns).cast(SPLIT_LIST_SCHEMA)


def write_split_list(path: Path, rows: pa.Table) -> None:
    """Write rows of `SPLIT_LIST_SCHEMA` as CSV; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        csv.write_csv(rows, partial)


def read_split_list(path: Path) -> pa.Table:
    """Read a list that `write_split_list` wrote, or anyone with the same columns.

    Returns:
        Rows of `SPLIT_LIST_SCHEMA`.

    Raises:
        DataError: the file cannot be read or lacks a column, a case stands in it twice, a group is
            in several splits, or no case is tested.
    """
    types = {field.name: field.type for field in SPLIT_LIST_SCHEMA}
    convert = csv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        null_values=[""],  # a group may be called NA
        strings_can_be_null=True,
    )
    try:
        rows = csv.read_csv(path, convert_options=convert).cast(SPLIT_LIST_SCHEMA)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise DataError(
            f"{path}: expected a CSV file with the columns {', '.join(types)}, found none that can "
            f"be read ({error}); `mint split CONFIG FILE` writes one"
        ) from error
    doubled = rows.num_rows - len(pc.unique(rows["case_id"]))
    if doubled:
        raise DataError(
            f"{path}: expected every case once, found {doubled} rows of cases that stand before; "
            "remove them",
            {"doubled_case": doubled},
        )
    try:
        check_no_leakage(rows.select(["group_id", "split"]).to_pylist())
    except DataError as error:
        raise DataError(f"{path}: {error}", error.counts) from error
    if not pc.any(rows["tested"]).as_py():
        raise DataError(f"{path}: expected tested cases, found none; see its column `tested`")
    return rows
