"""Figures of students that `gpu/arms.py` trained: metrics, paired differences and costs.

    python benchmarks/record_arms.py --arms results --names orpo orpo_worst --reference sft \
        --cases runs/cases-01234567 --command 'python benchmarks/gpu/arms.py ...' \
        --out benchmarks/results/gpu_arms.json

`--cases` is the folder of the step that the bundle's pairs were made from. Tested are the cases
that all of the arms have ranked. The result has the form of a recorded comparison.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.common.files import write_json
from mint_ray.config.load import parse_config
from mint_ray.evaluation.case_sample import choose_cases, sampled_from
from mint_ray.evaluation.comparison import (
    Evaluated,
    compared_outcomes,
    join_evaluations,
    paired_differences,
)
from mint_ray.evaluation.measurement import measure_answers
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.extra_inputs import STUDENT
from mint_ray.pipeline.manifest import Manifest, read_manifest
from mint_ray.tasks.task import TASKS


def record(arms: Path, names: Sequence[str], cases: Path, reference: str) -> dict[str, Any]:
    """Measure some arms of a folder on the cases that an evaluation would take.

    Raises:
        SystemExit: the folder of cases is not finished, or an arm has ranked nothing.
    """
    manifest = read_manifest(cases)
    results = {file.stem: json.loads(file.read_text("utf-8")) for file in arms.glob("*.json")}
    lacking = [name for name in (reference, *names) if not (arms / f"{name}.parquet").exists()]
    if manifest is None:
        raise SystemExit(f"{cases}: expected the folder of a finished step `cases`, found none")
    if lacking:
        raise SystemExit(f"{arms}: expected rankings of these arms, found none: {lacking}")
    complete = {name: results[name] for name in dict.fromkeys((reference, *names))}
    predictions = {name: pq.read_table(arms / f"{name}.parquet") for name in complete}
    ranked = [set(table["case_id"].to_pylist()) for table in predictions.values()]
    config = _config_of(manifest)
    tested = choose_cases(
        pq.read_table(cases / "cases.parquet", columns=["case_id", *_COLUMNS]),
        None,
        config.seed,
        max_per_group=config.evaluation.group_limit(config.task),
    )
    common = pa.array(sorted(set.intersection(*ranked)))
    tested = tested.filter(pc.is_in(tested["case_id"], common))
    ids = tested["case_id"]
    evaluations = {
        name: Evaluated(table.filter(pc.is_in(table["case_id"], ids)), {STUDENT: name}, len(ids))
        for name, table in predictions.items()
    }
    measured = measure_answers(
        join_evaluations(evaluations, ids.to_pylist()),
        tested,
        Catalogue.read(cases / "catalogue.parquet"),
        settings=config.evaluation,
        seed=config.seed,
        task=TASKS[config.task],
    )
    differences = paired_differences(
        compared_outcomes(measured),
        measured.cases,
        reference,
        samples=config.evaluation.bootstrap_samples,
        seed=config.seed,
    )
    first = complete[reference]
    return {
        "date": first["date"],
        "hardware": {name: first["machine"][name] for name in ("cpu", "cores", "gpu")},
        "versions": first["machine"]["versions"],
        "facts": {"tested": asdict(sampled_from(config, "test"))},
        "metrics": measured.metrics,
        "reference": reference,
        "differences": {
            name: {stratum: asdict(item) for stratum, item in strata.items()}
            for name, strata in differences.items()
        },
        "costs": {name: _cost(result) for name, result in complete.items()},
        "trained": {name: _training(result) for name, result in complete.items()},
    }


_COLUMNS = ("group_id", "split", "label_id", "label_name", "seen")


def _config_of(manifest: Manifest) -> Any:
    """Return a config with the task and the seed of the cases, all of which are tested."""
    tree = {"task": manifest.config["task"], "seed": manifest.seed}
    return parse_config(tree | {"evaluation": {"max_cases": None}})


def _cost(result: dict[str, Any]) -> dict[str, Any]:
    training, ranking = result["training"], result.get("ranking")
    return {
        "steps": training["steps"],
        "tokens": training["metrics"]["tokens_seen"],
        "training_seconds": training["seconds"],
        "ranking_seconds": ranking and ranking["seconds_a_case"] * ranking["ranked"],
    }


def _training(result: dict[str, Any]) -> dict[str, Any]:
    """Return what the training was, without its curve."""
    return {name: value for name, value in result["training"].items() if name != "curve"}


def main() -> None:
    """Record the arms."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arms", type=Path, required=True, help="`--out` of gpu/arms.py")
    parser.add_argument("--names", nargs="+", required=True, help="of the arms")
    parser.add_argument("--cases", type=Path, required=True, help="folder of the step")
    parser.add_argument("--command", required=True, help="that a reader can repeat")
    parser.add_argument("--reference", default="sft")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    result = record(options.arms, options.names, options.cases, options.reference)
    write_json(options.out, {"command": options.command} | result)


if __name__ == "__main__":
    main()
