"""Finished evaluations and comparisons that a command reads from their folders."""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.errors import ConfigError, DataError
from mint_ray.evaluation.measurement import index_tested
from mint_ray.evaluation.outcomes import EvaluatedCases
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.manifest import read_manifest

_STAGES = ("evaluate", "compare")


def cases_folder(evaluation: Path) -> Path:
    """Return the folder of the cases that a finished evaluation or comparison measured.

    Raises:
        ConfigError: the folder is not that of such a step.
    """
    manifest = read_manifest(evaluation)
    if manifest is None or not manifest.complete or manifest.stage not in _STAGES:
        found = "no finished step" if manifest is None or not manifest.complete else manifest.stage
        raise ConfigError(
            f"{evaluation}: expected the folder of a finished {' or '.join(_STAGES)} step, found "
            f"{found}; `mint path CONFIG evaluate` prints one"
        )
    return evaluation.absolute().parent / manifest.inputs["cases"]


def read_cases(folder: Path, case_ids: Collection[str]) -> EvaluatedCases:
    """Read some cases of a `cases` step as cases to measure, by ascending id.

    Raises:
        DataError: the files cannot be read, or there is no such case.
    """
    columns = ["case_id", "group_id", "label_id", "label_name", "seen", "publications"]
    wanted = pc.field("case_id").isin(list(case_ids))
    try:
        table = pq.read_table(folder / "cases.parquet", columns=columns, filters=wanted)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{folder / 'cases.parquet'} cannot be read: {error}") from error
    catalogue = Catalogue.read(folder / "catalogue.parquet")
    return index_tested(table.sort_by("case_id"), catalogue)
