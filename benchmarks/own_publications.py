"""Accuracy of disease teachers by what is left out of the annotations.

    python benchmarks/own_publications.py --cases phenopackets.zip \\
        --publications publications.txt --work /tmp/own_publications \\
        --out benchmarks/results/own_publications.json

The annotations cite publications, among them those of the test patients. A line may rest on such
a publication alone, or cite others beside it. Folds are those of `disease_teachers.py`. Results of
a fold are kept in `--work`, so that an interrupted run continues.
"""

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from disease_teachers import (
    CAP,
    FOLDS,
    fit_teacher,
    judge,
    provenance,
    read_cases,
    top_k,
    write_source,
)

from mint_ray.cases.schema import CASE_SCHEMA, Case
from mint_ray.cases.splits import assign_folds
from mint_ray.evaluation.case_sample import choose_cases
from mint_ray.knowledge.annotation_files import load_row_table
from mint_ray.knowledge.annotations import (
    PooledLines,
    cited_publications,
    count_lines,
    load_annotations,
    read_publications,
)
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ids import is_publication

logger = logging.getLogger("own_publications")

RULES = ("nothing", "own_alone", "own_cited", "all_alone", "all_cited")
TEACHERS = ("knowledge", "stacked")


def excluded_by(rule: str, placed: Sequence[Case], listed: frozenset[str]) -> frozenset[str]:
    """Return the publications that a rule excludes.

    Args:
        rule: one of `RULES`.
        placed: cases with their split.
        listed: publications of the whole case store.
    """
    if rule == "nothing":
        return frozenset()
    own = frozenset(
        publication
        for case in placed
        if case["split"] != "train"
        for publication in case["publications"]
        if is_publication(publication)
    )
    return own if rule.startswith("own") else listed


def pooled_by(rule: str) -> PooledLines:
    """Return what a rule does with lines that cite an excluded publication beside others."""
    return "drop" if rule.endswith("cited") else "keep"


def run_fold(
    cases: Sequence[Case], fold: int, listed: frozenset[str], options: argparse.Namespace
) -> None:
    """Fit and measure the teachers under every rule; what is in the work folder is kept."""
    placed = assign_folds(cases, FOLDS, fold, True, options.seed)
    table = pa.Table.from_pylist(placed, CASE_SCHEMA)
    tested = choose_cases(table, None, options.seed, max_per_group=CAP)
    for rule in RULES:
        source = options.work / f"{rule}-{fold}"
        excluded, pooled = excluded_by(rule, placed, listed), pooled_by(rule)
        if not (source / "excluded_publications.txt").exists():
            options.work.mkdir(parents=True, exist_ok=True)
            listing = options.work / "publications.txt"
            listing.write_text("\n".join(sorted(excluded)), encoding="utf-8")
            write_source(source, table, listing, load_annotations(excluded, pooled=pooled))
        catalogue = Catalogue.read(source / "catalogue.parquet")
        for name in options.teachers:
            file = source / f"{name}.npz"
            if not file.exists():
                teacher, _ = fit_teacher(name, source, options.seed, pooled)
                judged = judge(teacher, tested.to_pylist(), catalogue)
                np.savez(file, allow_pickle=False, **judged)
            logger.info("fold %d %s %s", fold, rule, name)
        cited = cited_publications(excluded, pooled=pooled)
        publications = tested["publications"].to_pylist()
        np.savez(
            source / "cases.npz",
            seen=np.array(tested["seen"].to_pylist(), dtype=bool),
            groups=np.array(tested["group_id"].to_pylist()),
            cited=np.array([not cited.isdisjoint(ids) for ids in publications]),
            lines=load_row_table().num_rows - count_lines(excluded, pooled=pooled),
        )


def summarise(work: Path, seed: int) -> dict[str, Any]:
    """Return, for each rule, what is left of the annotations and how good the teachers are."""
    result: dict[str, Any] = {}
    for rule in RULES:
        sources = sorted(file.parent for file in work.glob(f"{rule}-*/cases.npz"))
        facts = [np.load(source / "cases.npz") for source in sources]
        result[rule] = {
            "lines": round(float(np.mean([f["lines"] for f in facts]))),
            "cited": round(float(np.concatenate([f["cited"] for f in facts]).mean()), 4),
            "teachers": {},
        }
        for name in TEACHERS:
            at = [i for i, source in enumerate(sources) if (source / f"{name}.npz").exists()]
            if not at:
                continue
            ranks = np.concatenate([np.load(sources[i] / f"{name}.npz")["ranks"] for i in at])
            groups, seen = (
                np.concatenate([facts[i][column] for i in at]) for column in ("groups", "seen")
            )
            every = np.ones(len(seen), dtype=bool)
            result[rule]["teachers"][name] = {
                "folds": len(at),
                **{
                    stratum: {"n": int(rows.sum())} | top_k(ranks[rows], groups[rows], seed)
                    for stratum, rows in (("all", every), ("seen", seen), ("unseen", ~seen))
                },
            }
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=Path, required=True, help="release ZIP or folder")
    parser.add_argument("--publications", type=Path, required=True, help="one PMID a line")
    parser.add_argument("--work", type=Path, required=True, help="folder of what is kept")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--teachers", nargs="+", choices=TEACHERS, default=list(TEACHERS))
    parser.add_argument("--folds", nargs="+", type=int, default=list(range(FOLDS)))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cases, listed = read_cases(options.cases), read_publications(options.publications)
    for fold in options.folds:
        run_fold(cases, fold, listed, options)
    result = {
        **provenance(options.seed),
        "folds": FOLDS,
        "max_cases_per_group": CAP,
        "rules": summarise(options.work, options.seed),
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
