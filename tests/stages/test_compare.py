"""A comparison of two students and look-ups, from the command to what a reader gets."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from mint_ray.cli import main
from mint_ray.config.load import load_config
from mint_ray.pipeline import graph as pipeline
from mint_ray.pipeline.manifest import read_manifest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

TINY = Path(__file__).parents[1] / "tiny.yaml"
SYSTEMS = {
    "look_ups": {"overrides": {"evaluation.systems": ["majority", "teacher"]}},
    "orpo_cft": {"start_from": "orpo", "overrides": {"training.objective": "cft"}},
    "orpo": {},
}


def test_two_students_and_look_ups_are_compared_and_then_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ray_cluster: None
) -> None:
    tree = yaml.safe_load(TINY.read_text())
    tree |= {"store": str(tmp_path / "runs"), "compare": {"systems": SYSTEMS}}
    tree["teacher"] = {"name": "knowledge"}  # without training
    tree["evaluation"] |= {"generate_cases": 0}
    file = tmp_path / "compare.yaml"
    file.write_text(yaml.safe_dump(tree, sort_keys=False))
    assert main(["compare", str(file)]) == 0
    printed = capsys.readouterr()
    output = pipeline.plan(load_config(file))["compare"].folder
    assert printed.out.splitlines()[-1] == f"report: {output / 'report.html'}"
    assert "paired differences to ORPO student" in printed.out

    names = ["majority", "orpo", "orpo_cft", "teacher"]
    metrics = json.loads((output / "metrics.json").read_text())
    assert {name: metrics[name]["all"]["top1"]["n"] for name in metrics} == dict.fromkeys(names, 6)
    rows = pq.read_table(output / "predictions.parquet").to_pylist()
    assert {row["system"] for row in rows} == set(names)
    differences = json.loads((output / "differences.json").read_text())["differences"]
    assert set(differences) == set(names) - {"orpo"}
    costs = json.loads((output / "costs.json").read_text())
    assert {name: cost["steps"] for name, cost in costs.items()} == {"orpo": 3, "orpo_cft": 6}
    assert costs["orpo_cft"]["training_seconds"] > costs["orpo"]["training_seconds"] > 0
    assert "ORPO + CFT student" in (output / "report.html").read_text()

    manifest = read_manifest(output)
    assert manifest is not None
    trained = {}
    for name in SYSTEMS:
        evaluated = read_manifest(output.parent / manifest.inputs[f"evaluate {name}"])
        assert evaluated is not None
        trained[name] = evaluated.inputs["train"]
    assert trained["look_ups"] == trained["orpo"] != trained["orpo_cft"]

    assert main(["compare", str(file)]) == 0
    again = capsys.readouterr()
    assert again.err.count("complete, skipped") == 2  # cases and the comparison
    assert "done in" not in again.err
    assert again.out == printed.out
