"""Command line and result file of benchmarks that fit a teacher on folds of patients."""

import argparse
import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from disease_teachers import CAP, FOLDS, provenance

from mint_ray.cases.schema import CASE_SCHEMA, Case
from mint_ray.cases.splits import assign_folds
from mint_ray.evaluation.case_sample import choose_cases


def split_fold(
    cases: Sequence[Case], fold: int, seed: int
) -> tuple[pa.Table, list[dict[str, Any]]]:
    """Return all cases with their splits in a fold, and the tested ones: some of each group."""
    table = pa.Table.from_pylist(assign_folds(cases, FOLDS, fold, True, seed), CASE_SCHEMA)
    return table, choose_cases(table, None, seed, max_per_group=CAP).to_pylist()


def record_on_folds(
    title: str | None, name: str, measure: Callable[[argparse.Namespace], dict[str, Any]]
) -> None:
    """Run a benchmark from the command line, and write its result.

    Args:
        title: docstring of the benchmark's module.
        name: of the measured values in the result.
        measure: function of the options `cases`, `publications`, `folds` and `seed`.
    """
    parser = argparse.ArgumentParser(description=(title or "").splitlines()[0])
    parser.add_argument("--cases", type=Path, required=True, help="release ZIP or folder")
    parser.add_argument("--publications", type=Path, required=True, help="one PMID a line")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--folds", nargs="+", type=int, default=list(range(FOLDS)))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    started = time.monotonic()
    measured = measure(options)
    result = {
        **provenance(options.seed),
        "folds": options.folds,
        "seconds": round(time.monotonic() - started),
        name: measured,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
