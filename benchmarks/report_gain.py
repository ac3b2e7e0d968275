"""Gain of the teacher `stacked` from laboratory reports, on published patients.

    python benchmarks/report_gain.py --cases phenopackets.zip --publications publications.txt \
        --out benchmarks/results/report_gain.json --seed 11

Findings of the laboratory stand in the report only (`cases.modalities=laboratory_in_report`); those
that name the answer stand nowhere. One teacher is fitted with reports, another one without
(`teacher.reports=false`), which reads what a student reads. The bound is the first teacher with the
findings of the report given as terms, as a reader without any error would read them. The first
teacher is also judged without the reports that it was fitted with, as in `withheld_gain.py`.
"""

import argparse
import logging
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from disease_teachers import (
    answer_ranks,
    fit_teacher,
    micro_and_macro,
    top_k,
    write_source,
)
from on_folds import record_on_folds, split_fold

from mint_ray.cases.patients.answer_leak import names_of_answer
from mint_ray.cases.patients.finish import finish_cases
from mint_ray.cases.patients.phenopackets import read_phenopackets
from mint_ray.cases.schema import Case, ParsedCase
from mint_ray.cases.splits import join_groups
from mint_ray.config.cases import CasesConfig
from mint_ray.knowledge.annotations import Annotations, load_annotations, read_publications
from mint_ray.knowledge.catalogue import Catalogue, build_catalogue
from mint_ray.knowledge.notes.findings import load_reader, present_and_excluded
from mint_ray.knowledge.ontology import load_ontology

logger = logging.getLogger("report_gain")
MODALITIES = {"modalities": "laboratory_in_report"}
VIEWS = ("without_report", "report_left_out", "with_report", "findings_given")
GAINS = {"gain": "with_report", "bound": "findings_given"}
"""Name of each paired difference -> the view that is compared with `without_report`."""


def read_reported(path: Path, named: Annotations, seed: int) -> list[Case]:
    """Read the cases of a phenopacket release, with written notes and reports, without splits."""
    ontology = load_ontology()
    parsed = [c for c in read_phenopackets(path, ontology) if isinstance(c, ParsedCase)]
    labels = {c.case["label_id"]: c.case["label_name"] or "" for c in parsed if c.case["label_id"]}
    catalogue = build_catalogue(named, labels, "OMIM", "all")
    forbidden = {
        c.case["case_id"]: [*c.forbidden, *names_of_answer(c.case, c.forbidden, catalogue)]
        for c in parsed
    }
    config = CasesConfig.model_validate(MODALITIES)
    joined = join_groups([c.case for c in parsed])
    finished = finish_cases(joined, forbidden, ontology, config, seed)
    logger.info("%d cases: %s", len(finished.cases), dict(finished.counts))
    return finished.cases


@cache
def ids_by_name() -> Mapping[str, str]:
    """Return the id of every name of the ontology."""
    ontology = load_ontology()
    return {ontology.name(term): term for term in ontology.ids}


def findings_of_report(report: str) -> tuple[list[str], list[str]]:
    """Return the findings that a report was written from, observed and excluded."""
    ids = ids_by_name()
    listed = dict(line.rstrip(".").split(": ", 1) for line in report.splitlines()[1:])
    observed, excluded = (
        [ids[name] for name in listed[heading].split("; ")] if heading in listed else []
        for heading in ("Findings", "Not found")
    )
    return observed, excluded


def seen_as(view: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return what the teachers are shown of a case."""
    if view == "report_left_out":
        return row | {"description": ""}
    if view != "findings_given":
        return row
    observed, excluded = findings_of_report(row["description"])
    terms = {
        "terms": [*row["terms"], *observed],
        "excluded_terms": [*row["excluded_terms"], *excluded],
    }
    return row | terms | {"description": ""}


def read_back(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many findings the reports have, and how many of them the reader finds."""
    reader, total, found, others = load_reader(load_ontology()), 0, 0, 0
    for row in rows:
        written = findings_of_report(row["description"])
        read = present_and_excluded(reader.read(row["description"]))
        for stated, known in zip(written, read, strict=True):
            total += len(stated)
            found += len(set(stated) & set(known))
            others += len(set(known) - set(stated))
    return {"written": total, "read": found, "read_though_not_written": others}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Fit the two teachers on the folds, and judge the cases in every view."""
    named = load_annotations(read_publications(options.publications))
    cases = read_reported(options.cases, named, options.seed)
    found: dict[str, list[np.ndarray]] = {view: [] for view in VIEWS}
    rows: list[dict[str, Any]] = []
    for fold in options.folds:
        table, tested = split_fold(cases, fold, options.seed)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "cases"
            write_source(source, table, options.publications, named)
            catalogue = Catalogue.read(source / "catalogue.parquet")
            reading, control = (
                fit_teacher("stacked", source, options.seed, reports=reports, cases=MODALITIES)[0]
                for reports in (True, False)
            )
        for view in VIEWS:
            teacher = control if view == "without_report" else reading
            shown = [seen_as(view, row) for row in tested]
            found[view].append(answer_ranks(teacher, shown, catalogue))
        rows += tested
        logger.info("fold %d: %d cases", fold, len(tested))
    ranks = {view: np.concatenate(parts) for view, parts in found.items()}
    reported, seen, other = (
        np.array([bool(row[name]) for row in rows]) for name in ("description", "seen", "terms")
    )
    observed = np.array([bool(findings_of_report(row["description"])[0]) for row in rows])
    strata = {
        "all": np.ones(len(rows), dtype=bool),
        "reported": reported,
        "reported_seen": reported & seen,
        "reported_unseen": reported & ~seen,
        "observed_with_other_terms": observed & other,
    }
    groups = np.array([row["group_id"] for row in rows])
    return {
        "findings": read_back(rows),
        "strata": {
            name: summarise(
                {view: ranks[view][chosen] for view in VIEWS}, groups[chosen], options.seed
            )
            for name, chosen in strata.items()
            if chosen.any()
        },
    }


def summarise(ranks: Mapping[str, np.ndarray], groups: np.ndarray, seed: int) -> dict[str, Any]:
    """Return the accuracies of every view, and the paired differences."""
    return {
        "n": len(groups),
        "groups": len(np.unique(groups)),
        **{view: top_k(ranks[view], groups, seed) for view in VIEWS},
        **{
            name: {
                f"top{k}": micro_and_macro(
                    (ranks[view] <= k) * 1.0 - (ranks["without_report"] <= k), groups, seed
                )
                for k in (1, 3, 10)
            }
            for name, view in GAINS.items()
        },
    }


if __name__ == "__main__":
    record_on_folds(__doc__, "measured", measure)
