"""Finished evaluations and comparisons that a command reads from their folders."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.config.evaluation import EvaluationConfig
from mint_ray.errors import DataError
from mint_ray.evaluation.case_sample import read_sample
from mint_ray.evaluation.measurement import index_tested
from mint_ray.evaluation.outcomes import EvaluatedCases
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.manifest import finished_manifest
from mint_ray.tasks.task import TASKS, Task

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


@dataclass(frozen=True)
class Tested:
    """Tested cases of a finished evaluation or comparison, and how it measured them.

    Attributes:
        cases: folder of its `cases` step.
        case_ids: of the tested cases, in ascending order, whether a system ranked them or not.
        settings: limits, listed names, confidence bins and resamples; the rest are defaults.
        task: of the tested students.
        seed: of the sample and of the resamples.
    """

    cases: Path
    case_ids: tuple[str, ...]
    settings: EvaluationConfig
    task: Task
    seed: int

    @property
    def answered_freely(self) -> tuple[str, ...]:
        """Return the ids of the cases with free answers."""
        return self.case_ids[: self.settings.generate_cases]


_LIMITS = ("max_cases", "max_cases_per_group", "generate_cases")
_MEASURES = ("top_k", "calibration_bins", "bootstrap_samples")


def read_tested_of(evaluation: Path) -> Tested:
    """Return what a finished evaluation or comparison tested.

    Raises:
        ConfigError: the folder is not that of such a step.
        DataError: the cases cannot be read.
    """
    manifest = finished_manifest(evaluation, _STAGES, "evaluate")
    cases = cases_folder(evaluation)
    found = _evaluation_settings(manifest.config)
    settings = EvaluationConfig.model_validate(
        {"max_cases_per_group": None}  # older evaluations had no limit
        | {name: found[name] for name in (*_LIMITS, *_MEASURES) if name in found}
    )
    name = finished_manifest(cases, ("cases",), "cases").config.get("task", "disease")
    per_group = settings.group_limit(name)
    try:
        _, tested = read_sample(cases, settings.max_cases, per_group, manifest.seed)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{cases / 'cases.parquet'} cannot be read: {error}") from error
    ids = tuple(tested["case_id"].to_pylist())
    return Tested(cases, ids, settings, TASKS[name], manifest.seed)


def _evaluation_settings(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of the section in a manifest; a comparison's have dotted names."""
    prefix = "evaluation."
    dotted = {name[len(prefix) :]: config[name] for name in config if name.startswith(prefix)}
    return {**config.get("evaluation", {}), **dotted}


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
