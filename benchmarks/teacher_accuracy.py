"""Accuracy of the teacher on held-out publications of published patients.

    python benchmarks/teacher_accuracy.py --cases phenopackets.zip \
        --publications publications.txt --out benchmarks/results/teacher_accuracy.json

Cases are split by publication. Annotations that rest only on publications of `--publications` are
left out before anything uses them. Every test case counts, whatever its disease. Intervals are
95 %, bootstrapped over groups of publications.
"""

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from record_run import hardware

from mint_ray.cases.patients.finish import finish_cases
from mint_ray.cases.patients.phenopackets import read_phenopackets
from mint_ray.cases.schema import CASE_SCHEMA, SPLITS, ParsedCase
from mint_ray.cases.splits import assign_splits, check_no_leakage, join_groups
from mint_ray.config.cases import CasesConfig
from mint_ray.config.teacher import TeacherConfig
from mint_ray.evaluation.metrics.shares import mean_share_interval
from mint_ray.knowledge.annotations import Annotations, load_annotations, read_publications
from mint_ray.knowledge.catalogue import Catalogue, build_catalogue
from mint_ray.knowledge.ontology import Ontology, load_ontology
from mint_ray.pipeline.manifest import package_versions
from mint_ray.teachers.base import Teacher, batch_of, load_teacher
from mint_ray.teachers.fusion.fit import fit_teacher

logger = logging.getLogger("teacher_accuracy")

CHUNK = 256
SETTINGS = {"terms_only": "text_only", "face_only_in_image": "face_only_in_image"}
"""Name of each set of cases in the results -> its setting `cases.modalities`."""


def read_cases(path: Path, ontology: Ontology, modalities: str, seed: int) -> pa.Table:
    """Read the cases of a phenopacket release and split them; a row per case of `CASE_SCHEMA`."""
    config = CasesConfig.model_validate({"modalities": modalities})
    parsed = [c for c in read_phenopackets(path, ontology) if isinstance(c, ParsedCase)]
    # The teacher reads no notes: a placeholder spares writing them.
    cases = [{**c.case, "note": "-"} for c in parsed]
    split = assign_splits(
        join_groups(cases),  # type: ignore[arg-type]
        config.validation_fraction,
        config.test_fraction,
        seed,
    )
    check_no_leakage(split)
    finished = finish_cases(split, {}, ontology, config, seed).cases
    return pa.Table.from_pylist(finished, CASE_SCHEMA)


def ranks(teacher: Teacher, cases: pa.Table, catalogue: Catalogue) -> np.ndarray:
    """Return the rank (n,) of each case's answer from 1; infinite if it is not ranked."""
    ranks = []
    for start in range(0, cases.num_rows, CHUNK):
        part = cases.slice(start, CHUNK)
        scores = teacher.score(batch_of(part))
        for row, label in zip(scores, part["label_id"].to_pylist(), strict=True):
            index = catalogue.index_of(label or "")
            is_ranked = index is not None and bool(np.isfinite(row).all())
            ranks.append(1 + int((row > row[index]).sum()) if is_ranked else np.inf)
    return np.array(ranks)


def figures(rank: np.ndarray, cases: pa.Table, seed: int) -> dict[str, Any]:
    """Return top-1, top-3 and top-10 accuracy of all, seen and unseen cases, with intervals."""
    _, groups = np.unique(cases["group_id"].to_pylist(), return_inverse=True)
    seen = np.array(cases["seen"].to_pylist(), dtype=bool)
    strata = {"all": np.ones(len(rank), bool), "seen": seen, "unseen": ~seen}
    result: dict[str, Any] = {}
    for name, rows in strata.items():
        result[name] = {"n": int(rows.sum()), "groups": len(set(groups[rows].tolist()))}
        for k in (1, 3, 10):
            hits = (rank[rows] <= k).astype(np.float64)
            mean = mean_share_interval(hits, groups[rows], 1000, seed)
            result[name][f"top{k}"] = [round(v, 4) for v in (mean.value, mean.low, mean.high)]
    return result


def measure(
    cases: pa.Table, annotations: Annotations, ontology: Ontology, config: TeacherConfig, seed: int
) -> dict[str, Any]:
    """Fit a teacher without the test split, and measure it on the test split."""
    train = cases.filter(pc.equal(cases["split"], "train"))
    test = cases.filter(pc.equal(cases["split"], "test"))
    labels = dict(zip(train["label_id"].to_pylist(), train["label_name"].to_pylist(), strict=True))
    catalogue = build_catalogue(annotations, labels, "OMIM", "all")
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        fit_cases = cases.filter(pc.not_equal(cases["split"], "test"))
        validation = fit_teacher(
            fit_cases, catalogue, annotations, ontology, config, seed, Path(folder), _report
        )
        fitted = time.monotonic()
        teacher = load_teacher(Path(folder))
        rank = ranks(teacher, test, catalogue)
        scored = time.monotonic()
    result = {
        "labels": len(catalogue),
        "validation": validation,
        "test": figures(rank, test, seed),
        "fit_seconds": round(fitted - start, 1),
        "score_seconds": round(scored - fitted, 1),
    }
    if any(test["face_terms"].to_pylist()):
        has_face = pc.greater(pc.list_value_length(test["face_terms"]), 0).to_numpy()
        with_face = test.filter(pa.array(has_face))
        without_image = with_face.set_column(
            with_face.column_names.index("image"), "image", pa.nulls(len(with_face), pa.binary())
        )
        result["test_with_facial_findings"] = figures(rank[has_face], with_face, seed)
        result["the_same_without_image"] = figures(
            ranks(teacher, without_image, catalogue), without_image, seed
        )
    return result


def _report(metrics: dict[str, float]) -> None:
    logger.info("epoch %d: loss %.3f", metrics["step"], metrics["loss"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path, required=True, help="release ZIP or folder")
    parser.add_argument("--publications", type=Path, required=True, help="one PMID a line")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    ontology = load_ontology()
    excluded = read_publications(options.publications)
    annotations = load_annotations(excluded)
    config = TeacherConfig()
    result: dict[str, Any] = {
        "hardware": hardware() | {"threads": options.threads},
        "versions": package_versions() | {"ontology": ontology.version},
        "seed": options.seed,
        "excluded_publications": len(excluded),
        "teacher": config.model_dump(mode="json"),
        "settings": {},
    }
    for name in options.settings:
        cases = read_cases(options.cases, ontology, SETTINGS[name], options.seed)
        sizes = {s: pc.sum(pc.equal(cases["split"], s)).as_py() for s in SPLITS}
        result["split"] = sizes | {"groups": len(pc.unique(cases["group_id"]))}
        logger.info("%s: %s", name, result["split"])
        result["settings"][name] = measure(cases, annotations, ontology, config, options.seed)
        logger.info("%s: %s", name, json.dumps(result["settings"][name]["validation"]))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
