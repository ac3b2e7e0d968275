"""Gain of the teacher `stacked` from findings that a note would not state, by kind of finding.

    python benchmarks/withheld_gain.py --cases phenopackets.zip --publications publications.txt \
        --out benchmarks/results/withheld_gain.json

An image can teach a student something only if the findings that it alone shows help the teacher.
The same fitted teacher judges the test cases that have findings of a kind twice: without these,
observed or excluded, and with them as terms. So the gain is that of an image whose reader makes no
error, and the most that an image of these findings can add.
"""

import argparse
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from disease_teachers import (
    answer_ranks,
    fit_teacher,
    micro_and_macro,
    read_cases,
    top_k,
    write_source,
)
from on_folds import record_on_folds, split_fold

from mint_ray.cases.patients.laboratory.findings import LABORATORY
from mint_ray.images.faces.render import findings_of
from mint_ray.knowledge.annotations import load_annotations, read_publications
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import load_ontology

logger = logging.getLogger("withheld_gain")

KINDS: Mapping[str, tuple[str, ...]] = {
    "growth": ("HP:0001507",),
    "brain imaging": ("HP:0410263", "HP:0012443"),
    "skeleton": ("HP:0000924",),
    "growth, brain imaging and skeleton": ("HP:0001507", "HP:0410263", "HP:0012443", "HP:0000924"),
    "heart and vessels": ("HP:0001626",),
    "eye": ("HP:0000478",),
    "skin, hair and nails": ("HP:0001574",),
    "laboratory and metabolism": LABORATORY,
}
"""Kind of finding -> terms; the findings are these and all below them."""
FACE = "face, as far as it is drawn"


def is_of(kind: str, term: str) -> bool:
    """Return whether a term is a finding of the kind."""
    ontology = load_ontology()
    if kind == FACE:
        return bool(findings_of(term, ontology))
    return not ontology.ancestors(term).isdisjoint(KINDS[kind])


def without(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return a case without its findings of the kind."""
    left = {
        name: [term for term in row[name] if not is_of(kind, term)]
        for name in ("terms", "excluded_terms")
    }
    return row | left


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Fit the teacher on every fold, and judge its test cases with and without each kind."""
    cases = read_cases(options.cases)
    named = load_annotations(read_publications(options.publications))
    kinds = [FACE, *KINDS]
    found: dict[str, dict[str, list[Any]]] = {
        kind: {name: [] for name in ("with", "without", "groups", "share")} for kind in kinds
    }
    for fold in options.folds:
        table, tested = split_fold(cases, fold, options.seed)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "cases"
            write_source(source, table, options.publications, named)
            teacher, _ = fit_teacher("stacked", source, options.seed)
            catalogue = Catalogue.read(source / "catalogue.parquet")
        ranks = answer_ranks(teacher, tested, catalogue)
        for kind in kinds:
            less = [without(kind, row) for row in tested]
            # A case needs another finding: without one it could be judged by the image alone.
            usable = [
                i
                for i, (row, left) in enumerate(zip(tested, less, strict=True))
                if left["terms"] and len(left["terms"]) < len(row["terms"])
            ]
            kept = found[kind]
            kept["with"] += ranks[usable].tolist()
            kept["without"] += answer_ranks(teacher, [less[i] for i in usable], catalogue).tolist()
            kept["groups"] += [tested[i]["group_id"] for i in usable]
            kept["share"] += [1 - len(less[i]["terms"]) / len(tested[i]["terms"]) for i in usable]
        logger.info("fold %d", fold)
    return {kind: summarise(kept, options.seed) for kind, kept in found.items()}


def summarise(kept: Mapping[str, Sequence[Any]], seed: int) -> dict[str, Any]:
    """Return the accuracies with and without the findings of a kind, and the paired gain."""
    groups = np.array(kept["groups"])
    ranks = {name: np.array(kept[name]) for name in ("with", "without")}
    return {
        "n": len(groups),
        "share_of_terms": round(float(np.mean(kept["share"])), 4),
        **{name: top_k(values, groups, seed) for name, values in ranks.items()},
        "gain": {
            f"top{k}": micro_and_macro(
                (ranks["with"] <= k) * 1.0 - (ranks["without"] <= k), groups, seed
            )
            for k in (1, 3, 10)
        },
    }


if __name__ == "__main__":
    record_on_folds(__doc__, "kinds", measure)
