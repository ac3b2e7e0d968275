"""Gain of the teacher `stacked` from the face, on published patients with facial findings.

    python benchmarks/face_gain.py --cases phenopackets.zip --publications publications.txt \
        --out benchmarks/results/face_gain.json --folds 0 1

Facial findings stand in the drawn face only (`cases.modalities=face_only_in_image`). The same
fitted teacher judges the test cases that have such findings three times: without the image, with
it, and with the drawn findings given as terms, as a reader without any error would read them.
"""

import argparse
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from disease_teachers import (
    CAP,
    FOLDS,
    answer_ranks,
    fit_teacher,
    micro_and_macro,
    top_k,
    write_source,
)
from on_folds import record_on_folds

from mint_ray.cases.patients.finish import finish_cases
from mint_ray.cases.patients.phenopackets import read_phenopackets
from mint_ray.cases.schema import CASE_SCHEMA, ParsedCase
from mint_ray.cases.splits import assign_folds, join_groups
from mint_ray.config.cases import CasesConfig
from mint_ray.evaluation.case_sample import choose_cases
from mint_ray.knowledge.annotations import load_annotations, read_publications
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import load_ontology

logger = logging.getLogger("face_gain")
VIEWS = ("without_image", "with_image", "drawn_findings_given")


def seen_as(view: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return what the teacher is shown of a case."""
    if view == "with_image":
        return row
    terms = [*row["terms"], *row["face_terms"]] if view == "drawn_findings_given" else row["terms"]
    return {**row, "image": None, "terms": terms}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Fit the teacher on the folds, and judge the cases in every view."""
    ontology = load_ontology()
    parsed = [c for c in read_phenopackets(options.cases, ontology) if isinstance(c, ParsedCase)]
    joined: list[Any] = join_groups([{**c.case, "note": "-"} for c in parsed])
    config = CasesConfig.model_validate({"modalities": "face_only_in_image"})
    named = load_annotations(read_publications(options.publications))
    found: dict[str, list[np.ndarray]] = {view: [] for view in VIEWS}
    groups: list[str] = []
    facts: dict[str, list[bool]] = {"seen": [], "no_other_terms": []}
    for fold in options.folds:
        placed = assign_folds(joined, FOLDS, fold, True, options.seed)
        finished = finish_cases(placed, {}, ontology, config, options.seed).cases
        whole = pa.Table.from_pylist(finished, CASE_SCHEMA)
        tested = choose_cases(whole, None, options.seed, max_per_group=CAP).to_pylist()
        tested = [row for row in tested if row["face_terms"]]
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "cases"
            write_source(source, whole, options.publications, named)
            teacher, _ = fit_teacher("stacked", source, options.seed)
            catalogue = Catalogue.read(source / "catalogue.parquet")
        for view in VIEWS:
            shown = [seen_as(view, row) for row in tested]
            found[view].append(answer_ranks(teacher, shown, catalogue))
        groups += [row["group_id"] for row in tested]
        facts["seen"] += [row["seen"] for row in tested]
        facts["no_other_terms"] += [not row["terms"] for row in tested]
        logger.info("fold %d: %d cases", fold, len(tested))
    by_view = {view: np.concatenate(parts) for view, parts in found.items()}
    everybody = np.ones(len(groups), dtype=bool)
    result: dict[str, Any] = {}
    for stratum, chosen in (
        ("all", everybody),
        ("seen", np.array(facts["seen"], dtype=bool)),
        ("with_other_terms", ~np.array(facts["no_other_terms"], dtype=bool)),
    ):
        own = np.array(groups)[chosen]

        ranks = {view: by_view[view][chosen] for view in VIEWS}
        result[stratum] = {"n": int(chosen.sum())} | {
            view: top_k(ranks[view], own, options.seed) for view in VIEWS
        }
        result[stratum]["gain"] = {
            f"top{k}": micro_and_macro(
                (ranks["with_image"] <= k) * 1.0 - (ranks["without_image"] <= k), own, options.seed
            )
            for k in (1, 3, 10)
        }
    return result


if __name__ == "__main__":
    record_on_folds(__doc__, "strata", measure)
