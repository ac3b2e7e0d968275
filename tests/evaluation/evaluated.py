"""Finished evaluations in a store: four tested cases, whose first answers a test chooses."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.common.arrays import Ints
from mint_ray.evaluation.outcomes import EvaluatedCases
from mint_ray.evaluation.predictions import write_predictions
from mint_ray.evaluation.results import write_metrics
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.pipeline.manifest import Manifest, write_manifest
from tests.evaluation.conftest import NAMES, predictions_of

RIGHT = {"a": "OMIM:1", "b": "OMIM:2", "c": "OMIM:3", "d": "OMIM:1"}
"""Known answer of each case; a and b are of one publication."""


def cases_of_one_answer(cases: EvaluatedCases, groups: Ints) -> EvaluatedCases:
    """Return cases "0" to "n - 1" of these groups, (n,), whose known answer is OMIM:1."""
    n = len(groups)
    return dataclasses.replace(
        cases,
        case_ids=tuple(map(str, range(n))),
        groups=groups,
        known=np.zeros(n, dtype=np.int64),
        known_ids=("OMIM:1",) * n,
        known_names=(("Alpha syndrome",),) * n,
        strata={"all": np.ones(n, dtype=np.bool_)},
    )


def write_cases(store: Path, name: str = "cases-1") -> Path:
    """Write the tables of a `cases` step; one training case beside the tested ones."""
    folder = store / name
    folder.mkdir(parents=True)
    rows: list[Any] = []
    for case_id, label in {**RIGHT, "t": "OMIM:1"}.items():
        row = blank_case(case_id, "parquet")
        row["group_id"] = "g1" if case_id in "ab" else f"g{case_id}"
        row["split"] = "train" if case_id == "t" else "test"
        row["label_id"], row["label_name"], row["seen"] = label, NAMES[label][0], label == "OMIM:1"
        rows.append(row)
    pq.write_table(pa.Table.from_pylist(rows, CASE_SCHEMA), folder / "cases.parquet")
    labels = [Label(key, names[0], (key,), names[1:], ()) for key, names in NAMES.items()]
    Catalogue(labels).write(folder / "catalogue.parquet")
    finish(folder, "cases", {}, {})
    return folder


def write_training(store: Path, name: str, start: Path | None, tokens: float) -> Path:
    """Write what a finished `train` step says of two optimizer steps of a second each."""
    folder = store / name
    folder.mkdir(parents=True)
    config = {"student": {"init_adapter": None if start is None else str(start)}}
    metrics = {"final.tokens_seen": tokens, "final.training_seconds": 2.0}
    finish(folder, "train", {}, config, facts={"steps": 2}, metrics=metrics)
    return folder


def write_evaluation(
    store: Path,
    name: str,
    first: Mapping[str, Mapping[str, str]],
    train: str = "train-1",
    limits: Mapping[str, Any] | None = None,
    **facts: Any,
) -> Path:
    """Write a finished `evaluate` step.

    Args:
        first: system to case to its first answer; the known answer of others comes second.
        limits: settings of `evaluation`, by which fewer than all cases are tested.
    """
    folder = store / name
    folder.mkdir(parents=True)
    rows = []
    for system, by_case in first.items():
        for case_id, label in by_case.items():
            rows.append((case_id, system, 1, label, NAMES[label][0], 0.5))
            if label != RIGHT[case_id]:
                known = RIGHT[case_id]
                rows.append((case_id, system, 2, known, NAMES[known][0], 0.25))
    write_predictions(folder / "predictions.parquet", predictions_of(rows))
    write_metrics(folder / "metrics.json", {system: {"all": {}} for system in first})
    tested = len({case_id for case_id, *_ in rows})
    inputs = {"cases": "cases-1", "train": train}
    config = {"evaluation": dict(limits or {})}
    finish(folder, "evaluate", inputs, config, rows_out=tested, facts=facts)
    return folder


def write_answers(
    store: Path, name: str, protocol: str, listed: Mapping[str, Sequence[str]]
) -> Path:
    """Write a finished `reason` step: lists of names without probabilities by case.

    Args:
        listed: of each case, labels of the list; a case without an answer has none.
    """
    folder = store / name
    folder.mkdir(parents=True)
    rows = [
        (case_id, protocol, rank, label, NAMES[label][0], None)
        for case_id, labels in listed.items()
        for rank, label in enumerate(labels, 1)
    ]
    write_predictions(folder / "predictions.parquet", predictions_of(list(rows)))
    write_metrics(folder / "metrics.json", {protocol: {"all": {}}})
    inputs = {"cases": "cases-1", "index": "index-1"}
    finish(folder, "reason", inputs, {}, rows_out=len(listed), facts={"system": protocol})
    return folder


def finish(
    folder: Path, stage: str, inputs: Mapping[str, str], config: Mapping[str, Any], **results: Any
) -> None:
    """Write the manifest of a finished step that took a minute."""
    folders = {name: folder.parent / key for name, key in inputs.items()}
    manifest = Manifest.start(stage, folder.name[-8:], 1, config, folders, 0)
    write_manifest(folder, manifest.finish(wall_seconds=60.0, **results))
