"""The whole chain on real parts: jobs on a Ray head, then the command, then what a user reads."""

import json
import math
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from datasets import load_dataset

from mint_ray.cli import main
from mint_ray.commands.score import score
from mint_ray.config.config import Config
from mint_ray.config.load import load_config
from mint_ray.config.training import StudentConfig
from mint_ray.evaluation.split_list import read_split_list
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline import graph as pipeline
from mint_ray.pipeline.manifest import read_manifest
from mint_ray.runtime.metrics_stream import read_metrics_lines
from mint_ray.students.data.pair_table import PairTable
from mint_ray.students.data.rows import RowEncoder
from mint_ray.students.encoding.text import Encoder
from mint_ray.students.models.base_models import load_base_model, load_tokenizer, resolve_base_model
from mint_ray.students.models.lora import add_adapter
from mint_ray.students.ranking.ranker import Ranker
from mint_ray.students.student import load_student
from mint_ray.students.student_folder import read_info
from mint_ray.teachers.base import load_manifest
from mint_ray.teachers.cross_fit import read_folds
from tests.in_process import without_ray
from tests.students.conftest import base_folder, take_gradients, tokenizer
from tests.students.losses import make_trl_trainer, our_loss, trl_batch
from tests.teachers.endpoint.server import Body, FakeServer, serving

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

__all__ = ["base_folder", "tokenizer"]

ROOT = Path(__file__).parents[1]
TINY = ROOT / "tests" / "tiny.yaml"
RAY = str(Path(sys.executable).parent / "ray")
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
}
del ENVIRONMENT["RAY_ADDRESS"]  # the head's jobs find the head
SYSTEMS = {
    "look_ups": {"overrides": {"evaluation.systems": ["majority", "teacher"]}},
    "trl_orpo": {"overrides": {"training.trainer": "trl"}},
    "orpo_rcft": {
        "start_from": "orpo",
        "overrides": {
            "training.objective": "rcft",
            "training.candidates": "beam",
            "training.trials": {"learning_rates": [1e-3, 1e-4], "share": 0.3, "cases": 2},
            "training.watch": {"cases": 2, "steps": 2},
        },
    },
    "orpo": {},
}
"""Systems of a comparison, of which `orpo` is the run of the config itself."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, base_folder: Path) -> Path:
    """One store for the module: each test finds what the ones before it wrote."""
    store = tmp_path_factory.mktemp("store")
    write_config(store, base_folder)
    return store


def write_config(store: Path, base: Path, **sections: Any) -> Path:
    """Write the config of a store, whose students begin from a tiny model of short tokens."""
    tree = yaml.safe_load(TINY.read_text()) | {"store": str(store)}
    tree["student"] |= {"base_model": str(base), "max_prompt_length": 900, "max_length": 1300}
    for section, settings in sections.items():
        tree[section] = tree.get(section, {}) | settings
    file = config_file(store)
    file.write_text(yaml.safe_dump(tree, sort_keys=False))
    return file


def config_file(store: Path) -> Path:
    return store / "tiny.yaml"


def config(store: Path) -> Config:
    return load_config(config_file(store))


def folder(store: Path, stage: str) -> Path:
    return pipeline.plan(config(store))[stage].folder


@pytest.fixture
def ray_head() -> Iterator[str]:
    """`ray start --head`, guarded by a token; the address for `ray job submit`."""
    port, dashboard, agent = free_port(), free_port(), free_port()
    # A short folder of its own: socket paths are limited, and the address of a head that is killed
    # must not be left where the next Ray looks for one.
    own = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    # The agent that takes jobs has a fixed port by default, which another Ray here may hold.
    ports = [f"--port={port}", f"--dashboard-port={dashboard}"]
    ports += [f"--dashboard-agent-listen-port={agent}"]
    head = subprocess.Popen(
        [RAY, "start", "--head", *ports, "--num-cpus=2", f"--temp-dir={own}", "--block"],
        env=ENVIRONMENT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(dashboard)
    wait_for(agent)
    yield f"http://127.0.0.1:{dashboard}"
    os.killpg(head.pid, signal.SIGKILL)
    head.wait()
    shutil.rmtree(own, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    pytest.fail(f"nothing listens on port {port}")


def test_a_job_on_a_ray_head(ray_head: str, store: Path) -> None:
    submit = [RAY, "job", "submit", "--address", ray_head]
    script = ["python", "jobs/train_student.py", str(config_file(store))]
    done = subprocess.run(
        [*submit, "--working-dir", ".", "--", *script],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert pipeline.plan(config(store))["train"].complete


def test_the_command_finishes_the_rest(
    store: Path, capsys: pytest.CaptureFixture[str], ray_cluster: None
) -> None:
    made = pq.read_metadata(folder(store, "prefer") / "train.parquet")
    assert main(["run", str(config_file(store))]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("complete, skipped") == 4
    assert "ORPO student" in printed.out
    assert printed.out.splitlines()[-1] == f"report: {folder(store, 'evaluate') / 'report.html'}"
    metrics = json.loads((folder(store, "evaluate") / "metrics.json").read_text())
    compared = {"majority", "neighbours", "knowledge", "base", "orpo", "teacher"}
    assert compared <= metrics.keys()
    sizes = {system: by_stratum["all"]["top1"]["n"] for system, by_stratum in metrics.items()}
    assert sizes.pop("base_generated") == sizes.pop("orpo_generated") == 1
    assert set(sizes.values()) == {6}
    assert made.num_rows > 10


def test_training_cases_are_ranked_by_teachers_that_have_not_seen_them(store: Path) -> None:
    teacher, pairs = folder(store, "teach"), folder(store, "prefer")
    folds = read_folds(teacher)
    assert len(folds) == 2
    rows = pq.read_table(pairs / "train.parquet", columns=["group_id", "teacher"]).to_pylist()
    for row in rows:
        revision = folds.revisions[folds.fold_of[row["group_id"]]]
        assert row["teacher"] == f"fusion@{revision}"
    assert {row["teacher"] for row in rows} == {f"fusion@{name}" for name in folds.revisions}
    tested = pq.read_table(pairs / "test.parquet", columns=["teacher"])["teacher"].to_pylist()
    assert set(tested) == {f"fusion@{load_manifest(teacher)['revision']}"}
    assert not list(teacher.glob("folds/*/cases"))
    assert "2 teachers, each fitted without" in (pairs / "README.md").read_text()


def test_orpo_equals_trl_on_these_pairs(store: Path, tmp_path: Path) -> None:
    base = resolve_base_model("embedded")
    tokenizer, student = load_tokenizer(base), StudentConfig(lora_rank=4)
    model = add_adapter(load_base_model(base, torch.float32, "cpu"), student, None, seed=0).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    table = PairTable(folder(store, "prefer") / "train.parquet")
    maker = RowEncoder(Encoder(tokenizer, 256, 384), "pairs", {}, k=2)
    examples = [table.example([row], maker) for row in (0, 1)]
    trainer = make_trl_trainer(model, tokenizer, tmp_path)
    theirs, _ = trainer.get_batch_loss_metrics(model, trl_batch(examples))
    theirs.backward()
    expected = take_gradients(model)
    for layout in ("prefix_shared", "padded"):
        ours, _ = our_loss(model, examples, layout, "prompt_and_chosen")
        ours.backward()
        assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5), layout
        found = take_gradients(model)
        # As one vector: through thirty layers in float32, single elements round further apart.
        apart = torch.cat([(found[name] - expected[name]).flatten() for name in expected]).norm()
        whole = torch.cat([part.flatten() for part in expected.values()]).norm()
        assert apart <= 5e-4 * whole, layout  # 1.2e-4 on a CPU with AVX2 alone


def test_pairs_are_readable_by_datasets_and_keep_groups_apart(store: Path) -> None:
    prefer = folder(store, "prefer")
    files = {split: str(prefer / f"{split}.parquet") for split in ("train", "validation", "test")}
    dataset = load_dataset("parquet", data_files=files, cache_dir=str(store / "hf"))
    row = dataset["train"][0]
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    assert row["chosen"][0]["content"] != row["rejected"][0]["content"]
    assert row["config_hash"] == prefer.name.removeprefix("prefer-")
    groups = [set(dataset[split]["group_id"]) for split in files]
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_killed_preferences_end_like_undisturbed_ones(
    store: Path, base_folder: Path, tmp_path: Path
) -> None:
    file = write_config(tmp_path, base_folder)
    for stage in ("cases", "teach"):
        shutil.copytree(folder(store, stage), tmp_path / folder(store, stage).name)
    scored = folder(tmp_path, "prefer") / "scored"
    command = [sys.executable, "-m", "mint_ray", "prefer", str(file)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(scored.glob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not pipeline.plan(config(tmp_path))["prefer"].complete
    with without_ray():
        assert main(["prefer", str(file)]) == 0
    for split in ("train", "validation", "test"):
        whole = pq.read_table(folder(store, "prefer") / f"{split}.parquet")
        assert pq.read_table(folder(tmp_path, "prefer") / f"{split}.parquet").equals(whole)


def test_one_mlflow_run_per_stage_also_after_a_restart(store: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{store / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    everything = client.search_runs(experiments)
    planned = pipeline.plan(config(store))
    names = {planned[step.name].folder.name for step in pipeline.select(config(store))}
    runs = [run for run in everything if run.info.run_name in names]
    assert sorted(run.info.run_name for run in runs) == sorted(names)
    assert {run.info.status for run in everything} == {"FINISHED"}
    assert len(everything) == len(names)
    train = next(run for run in runs if run.data.tags["stage"] == "train")
    assert train.data.tags["input.prefer"] == folder(store, "prefer").name
    losses = client.get_metric_history(train.info.run_id, "loss")
    assert sorted(metric.step for metric in losses) == [1, 2, 3]


def test_others_measure_as_the_evaluation_does(store: Path, tmp_path: Path) -> None:
    """A split list and the cases alone give what the finished evaluation says of its systems."""
    out = tmp_path / "split.csv"
    assert main(["split", str(config_file(store)), str(out)]) == 0
    listed = read_split_list(out)
    assert {"train", "validation", "test"} == set(listed["split"].to_pylist())
    evaluated = folder(store, "evaluate")
    expected = json.loads((evaluated / "metrics.json").read_text())
    found = score(evaluated / "predictions.parquet", folder(store, "cases"), out)
    for system in ("majority", "base", "orpo", "teacher"):
        for stratum, named in found[system].items():
            for name in ("top1", "top10_macro", "mrr"):
                wanted = expected[system][stratum][name]
                assert (named[name]["value"], named[name]["n"]) == (wanted["value"], wanted["n"])


@pytest.fixture
def server(store: Path) -> Iterator[FakeServer]:
    """A server that speaks OpenAI's chat completions, whose model knows all answers."""
    cases = pq.read_table(folder(store, "cases") / "cases.parquet", columns=["note", "label_name"])

    def answer(body: Body) -> str:
        asked = " ".join(message["content"] for message in body["messages"])
        names = [row["label_name"] for row in cases.to_pylist() if row["note"] in asked]
        return "\n".join(f"1. {name}" for name in names)

    with serving(FakeServer(answer)) as running:
        yield running


def test_students_and_look_ups_are_compared_and_then_skipped(
    store: Path,
    capsys: pytest.CaptureFixture[str],
    ray_cluster: None,
    server: FakeServer,
    base_folder: Path,
) -> None:
    """Cases, teacher, pairs and the first student are those of the tests before.

    Trainings and rankings, which ran on Ray in these tests, are in this process.
    """
    external = {
        "reasoning.protocol": "chat",
        "reasoning.chat": "server",
        "reasoning.server": {"base_url": server.url, "model": "fake"},
    }
    file = write_config(
        store,
        base_folder,
        compare={"systems": {**SYSTEMS, "external": {"overrides": external}}},
        retrieval={"method": "bm25", "meaning": False, "rerank_of": None},
        evaluation={"generate_cases": 0},
    )
    with without_ray():
        assert main(["compare", str(file)]) == 0
    printed = capsys.readouterr()
    planned = pipeline.plan(load_config(file))
    output = planned["compare"].folder
    assert printed.out.splitlines()[-1] == f"report: {output / 'report.html'}"
    assert "paired differences to ORPO student" in printed.out

    names = ["majority", "orpo", "trl_orpo", "orpo_rcft", "teacher", "external"]
    metrics = json.loads((output / "metrics.json").read_text())
    assert {name: metrics[name]["all"]["top1"]["n"] for name in metrics} == dict.fromkeys(names, 6)
    rows = pq.read_table(output / "predictions.parquet").to_pylist()
    assert {row["system"] for row in rows} == set(names)
    differences = json.loads((output / "differences.json").read_text())["differences"]
    assert set(differences) == set(names) - {"orpo"}
    costs = json.loads((output / "costs.json").read_text())
    assert {name: cost["steps"] for name, cost in costs.items()} == {
        "orpo": 3,
        "trl_orpo": 3,
        "orpo_rcft": 6,
        "external": 0,
    }
    assert len(server.bodies) == 6
    assert metrics["external"]["all"]["top1"]["value"] == 1.0
    for what in ("tokens", "training_seconds"):
        assert costs["orpo_rcft"][what] > costs["orpo"][what] > 0
    assert "ORPO + RCFT student" in (output / "report.html").read_text()

    trained = {name: trained_for(output, name) for name in SYSTEMS}
    assert trained["look_ups"] == trained["orpo"] == planned["train"].folder
    assert len(set(trained.values())) == 3
    assert read_info(trained["orpo_rcft"]).objective == "rcft"
    calibrated = read_manifest(trained["orpo_rcft"])
    assert math.isfinite(calibrated.metrics["final.loss"])
    assert "calibratable" in calibrated.facts["regime"]
    (watched,) = json.loads((output / "watched.json").read_text()).items()
    assert watched[0] == "orpo_rcft"
    # The training that it continues from was not watched, and counts all the same.
    assert [row["step"] for row in watched[1]] == [3, 5, 6]
    assert watched[1][-1]["tokens"] == costs["orpo_rcft"]["tokens"]
    (chosen,) = json.loads((output / "rates.json").read_text()).items()
    assert chosen[0] == "orpo_rcft"
    assert [trial["learning_rate"] for trial in chosen[1]["tried"]] == [1e-4, 1e-3]
    check_rate(trained["orpo_rcft"], chosen[1]["chosen"])
    check_candidates(trained["orpo_rcft"], trained["orpo"])

    assert main(["compare", str(file)]) == 0
    again = capsys.readouterr()
    assert again.err.count("complete, skipped") == 2  # cases and the comparison
    assert "done in" not in again.err
    assert again.out == printed.out


def check_rate(folder: Path, rate: float) -> None:
    """The training took the chosen rate, which its schedule ends at 0 from."""
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.facts["learning_rate"] == rate
    assert max(row["learning_rate"] for row in steps_of(folder)) == pytest.approx(rate)


def steps_of(folder: Path) -> list[dict[str, float]]:
    return [row for row in read_metrics_lines(folder) if row["step"]]


def check_candidates(calibrated: Path, start: Path) -> None:
    """The candidates of a calibration are the names that its starting student ranks first."""
    manifest = read_manifest(calibrated)
    assert manifest is not None
    ranked = calibrated.parent / manifest.inputs["candidates"]
    table = pq.read_table(ranked / "candidates.parquet")
    assert len(list(calibrated.parent.glob("candidates-*"))) == 1  # once for the trials too
    pairs = pq.read_table(calibrated.parent / manifest.inputs["prefer"] / "train.parquet")
    assert set(table["case_id"].to_pylist()) == set(pairs["case_id"].to_pylist())
    cases = calibrated.parent / manifest.inputs["cases"]
    row = table.slice(0, 1).to_pylist()[0]
    only = [("case_id", "=", row["case_id"])]
    (note,) = pq.read_table(cases / "cases.parquet", filters=only)["note"].to_pylist()
    catalogue = Catalogue.read(cases / "catalogue.parquet")
    names, ids = catalogue.names, catalogue.ids
    ranking = Ranker(load_student(start, "cpu"), names, top_k=10, listed=16).rank([note])[0]
    assert row["candidates"] == [ids[label] for label in ranking.labels][: len(row["candidates"])]
    assert len(row["candidates"]) == min(16, len(ids))


def trained_for(comparison: Path, system: str) -> Path:
    """Return the folder of the training behind a system of a comparison."""
    evaluated = read_manifest(
        comparison.parent / read_manifest(comparison).inputs[f"evaluate {system}"]
    )
    return comparison.parent / evaluated.inputs["train"]


def test_predict_ranks_new_cases_with_the_finished_student(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], ray_cluster: None
) -> None:
    patient = {
        "id": "invented-1",
        "subject": {"id": "1", "sex": "FEMALE"},
        "phenotypicFeatures": [
            {"type": {"id": "HP:0001250", "label": "Seizure"}},
            {"type": {"id": "HP:9999999", "label": "Invented"}},
            {"type": {"label": "Without id"}},
        ],
        "metaData": {"phenopacketSchemaVersion": "2.0"},
    }
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.json").write_text(json.dumps(patient))
    (tmp_path / "in" / "bad.json").write_text("{")
    out = tmp_path / "out.parquet"
    arguments = ["--student", str(folder(store, "train")), "--cases", str(tmp_path / "in")]
    assert main(["predict", *arguments, "--out", str(out), "--top-k", "4"]) == 0
    assert "2 unknown_terms" in " ".join(capsys.readouterr().err.split())
    rows = pq.read_table(out).to_pylist()
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    assert len({row["label_id"] for row in rows}) == 4
    probabilities = [row["probability"] for row in rows]
    assert probabilities == sorted(probabilities, reverse=True)
    rejected = pq.read_table(tmp_path / "out.rejected.parquet").to_pylist()
    assert [row["reason"] for row in rejected] == ["not_json"]


def test_a_note_is_in_no_log_metric_or_report(store: Path) -> None:
    cases = pq.read_table(folder(store, "cases") / "cases.parquet", columns=["note"])
    canaries = [note.encode()[:60] for note in cases["note"].to_pylist()]
    for file in store.rglob("*"):
        if file.is_file() and file.suffix in {".json", ".jsonl", ".html", ".db", ".log", ".md"}:
            content = file.read_bytes()
            assert not any(canary in content for canary in canaries), file.name
