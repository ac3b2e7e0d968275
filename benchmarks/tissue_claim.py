"""Comparison of students of images by their teacher, on the same held-out patients.

    python benchmarks/tissue_claim.py configs/demo_vision.yaml \
        --out benchmarks/results/tissue_claim_tiles.json
    python benchmarks/tissue_claim.py configs/histology.yaml cases.path=histology \
        cases.images.tile=500 training.epochs=4 --folds 2 \
        --out benchmarks/results/tissue_claim_histology.json

Three students of the same base model read the image only. One learned preferences from a teacher of
image and description, one from a teacher of the image; one was trained on the known answers (SFT).
With `--folds` every patient is tested once, by students that were trained without that patient, and
the answers are pooled. Differences are paired by case. Intervals are 95 %, bootstrapped over
patients.
"""

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from record_run import hardware

from mint_ray.config.config import Config
from mint_ray.evaluation.metrics.compute import compare, evaluate
from mint_ray.evaluation.outcomes import collect_outcomes, index_cases
from mint_ray.evaluation.predictions import read_predictions
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline import graph as pipeline
from mint_ray.pipeline.check import load_run
from mint_ray.pipeline.manifest import package_versions, read_manifest

STUDENTS = {
    "student_of_image_and_text": ["teacher.name=clip_fusion"],
    "student_of_image": ["teacher.name=clip"],
    "sft_on_known_answers": ["teacher.name=clip", "objective=sft", "training.sft_on=answer"],
}
TEACHERS = {
    "student_of_image_and_text": "teacher_of_image_and_text",
    "student_of_image": "teacher_of_image",
}
SYSTEMS = ("student", "teacher")
SHARED = ("majority", "base")
METRICS = ("top1", "mrr", "balanced_accuracy", "macro_f1", "top1_by_group")
SAMPLES = 2000


def run_fold(
    config: str, overrides: list[str], name: str, shared: bool
) -> tuple[Config, dict[str, Any]]:
    """Run all stages for one student, with the command of a user; return its config and settings.

    Args:
        name: a key of `STUDENTS`.
        shared: whether to measure also the systems that need no training.
    """
    systems = ", ".join((*SHARED, *SYSTEMS) if shared else SYSTEMS)
    evaluation = [f"evaluation.systems=[{systems}]", "evaluation.controls=false"]
    evaluation.append("evaluation.max_cases=null")  # every test case is in the denominator
    settings = [*overrides, *evaluation, *STUDENTS[name]]
    subprocess.run([sys.executable, "-m", "mint_ray", "run", config, *settings], check=True)
    return load_run(config, settings), {"student": name, "overrides": settings}


def read_fold(config: Config, name: str, shared: bool) -> tuple[pa.Table, pa.Table, Catalogue]:
    """Read predictions under the names of this comparison, the tested cases and the catalogue.

    `shared` keeps the systems that need no training, which one run per fold measures.
    """
    steps = pipeline.plan(config)
    manifest = read_manifest(steps["evaluate"].folder)
    if manifest is None:
        raise SystemExit(f"{steps['evaluate'].folder}: expected a manifest, found none")
    names = {str(manifest.facts["student"]): name}
    if name in TEACHERS:
        names["teacher"] = TEACHERS[name]
    if shared:
        names |= {system: system for system in SHARED}
    table = read_predictions(steps["evaluate"].folder / "predictions.parquet")
    parts = []
    for system, title in names.items():
        part = table.filter(pc.equal(table["system"], system))
        column = part.schema.get_field_index("system")
        parts.append(part.set_column(column, "system", pa.array([title] * part.num_rows)))
    cases = pq.read_table(
        steps["cases"].folder / "cases.parquet",
        columns=["case_id", "group_id", "split", "label_id", "label_name", "seen"],
    )
    tested = cases.filter(pc.equal(cases["split"], "test"))
    return (
        pa.concat_tables(parts),
        tested,
        Catalogue.read(steps["cases"].folder / "catalogue.parquet"),
    )


def measure(config: str, overrides: list[str], folds: int | None) -> dict[str, Any]:
    """Run all students on all folds, pool their answers, and compare them."""
    predictions, tested, runs = [], [], []
    labels: dict[str, Any] = {}
    for fold in range(folds or 1):
        split = [f"cases.folds={folds}", f"cases.fold={fold}"] if folds else []
        for index, name in enumerate(STUDENTS):
            loaded, run = run_fold(config, [*overrides, *split], name, shared=index == 0)
            runs.append(run)
            answers, cases, catalogue = read_fold(loaded, name, shared=index == 0)
            predictions.append(answers)
            labels |= {label.label_id: label for label in catalogue.labels}
        tested.append(cases)
    cases = index_cases(
        pa.concat_tables(tested).sort_by("case_id"),
        {any_id: label.label_id for label in labels.values() for any_id in label.ids},
        {label.label_id: (label.name, *label.synonyms) for label in labels.values()},
    )
    outcomes = collect_outcomes(pa.concat_tables(predictions), cases, len(labels), whole=True)
    bins = loaded.evaluation.calibration_bins
    metrics = evaluate(outcomes, cases, bins=bins, samples=SAMPLES, seed=loaded.seed, by_class=True)
    first, *others = STUDENTS
    pairs = [(first, other) for other in others]
    pairs += list(TEACHERS.items())
    pairs += [(first, "base"), ("teacher_of_image_and_text", "teacher_of_image")]
    differences = [
        {"first": d.first, "second": d.second, "metric": d.metric, **vars(d.interval)}
        for system, other in pairs
        for d in compare(
            outcomes, cases, system, other, samples=SAMPLES, seed=loaded.seed, metrics=METRICS
        )
    ]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", *sys.argv]),
        "hardware": hardware(),
        "versions": package_versions(),
        "folds": folds,
        "cases": len(cases),
        "patients": len(set(cases.groups.tolist())),
        "labels": sorted(label.name for label in labels.values()),
        "runs": runs,
        "metrics": metrics,
        "differences": differences,
    }


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value")
    parser.add_argument("--folds", type=int)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_intermixed_args()
    result = measure(options.config, options.overrides, options.folds)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for difference in result["differences"]:
        print({name: difference[name] for name in ("first", "second", "metric", "value", "low")})


if __name__ == "__main__":
    main()
