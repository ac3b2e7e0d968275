"""Finished evaluations and comparisons that a command reads from their folders."""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.errors import DataError
from mint_ray.evaluation.measurement import index_tested
from mint_ray.evaluation.outcomes import EvaluatedCases
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.manifest import finished_manifest

_STAGES = ("evaluate", "compare")


def cases_folder(evaluation: Path, *, or_cases: bool = False) -> Path:
    """Return the folder of the cases that a finished evaluation or comparison measured.

    Args:
        evaluation: folder of such a step.
        or_cases: whether it may be the folder of a `cases` step too, which is returned.

    Raises:
        ConfigError: the folder is not that of such a step.
    """
    stages = (*_STAGES, "cases") if or_cases else _STAGES
    manifest = finished_manifest(evaluation, stages, "cases" if or_cases else "evaluate")
    if manifest.stage == "cases":
        return evaluation
    return evaluation.absolute().parent / manifest.inputs["cases"]


def read_listed_cases(folder: Path, listed: pa.Table) -> EvaluatedCases:
    """Read the tested cases of a split list, with the answers of a `cases` step, by ascending id.

    Groups, and which answers training has seen, are those of the list: the splits of the step
    may be others.

    Args:
        folder: of the step.
        listed: rows of `SPLIT_LIST_SCHEMA`.

    Raises:
        DataError: the files cannot be read, or lack tested cases.
    """
    rows = listed.filter(listed["tested"]).sort_by("case_id")
    table = _read_rows(folder, rows["case_id"].to_pylist())
    missing = sorted({*rows["case_id"].to_pylist()} - {*table["case_id"].to_pylist()})
    if missing:
        raise DataError(
            f"{folder}: expected the {rows.num_rows} tested cases of the split list, found "
            f"{table.num_rows}, without {missing[0]}; give a `cases` step of the same case store",
            {"missing_case": len(missing)},
        )
    for name in ("group_id", "seen"):
        table = table.set_column(table.column_names.index(name), name, rows[name])
    return index_tested(table, Catalogue.read(folder / "catalogue.parquet"))


def read_cases(folder: Path, case_ids: Collection[str]) -> EvaluatedCases:
    """Read some cases of a `cases` step as cases to measure, by ascending id.

    Raises:
        DataError: the files cannot be read, or there is no such case.
    """
    table = _read_rows(folder, case_ids)
    return index_tested(table, Catalogue.read(folder / "catalogue.parquet"))


def _read_rows(folder: Path, case_ids: Collection[str]) -> pa.Table:
    columns = ["case_id", "group_id", "label_id", "label_name", "seen", "publications"]
    wanted = pc.field("case_id").isin(list(case_ids))
    try:
        table = pq.read_table(folder / "cases.parquet", columns=columns, filters=wanted)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{folder / 'cases.parquet'} cannot be read: {error}") from error
    return table.sort_by("case_id")
