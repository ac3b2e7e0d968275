"""The stage `reason`: every case gives one row, and an interrupted run says the same."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import openai._base_client as openai_client
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.config.config import Config
from mint_ray.errors import TeacherError
from mint_ray.evaluation.predictions import read_predictions
from mint_ray.evaluation.results import read_metrics
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.reasoning import endpoint_chat
from mint_ray.retrieval.documents import Document
from mint_ray.retrieval.index import DocumentIndex
from mint_ray.runtime.inference import CaseInference
from mint_ray.stages import reason
from tests.teachers.endpoint.server import Body, FakeServer, serving

WORDS = ("amber", "birch", "cedar", "dusk", "ember", "fjord", "grove", "heath", "islet", "jetty")
DISEASES = {f"OMIM:{900000 + i}": f"{word.title()} syndrome" for i, word in enumerate(WORDS)}
BY_WORDS = {"meaning": False, "method": "bm25", "rerank_of": None}


def write_inputs(folder: Path) -> dict[str, Path]:
    """Write what the stage reads: a case and a document for each disease, which share a word."""
    inputs = {name: folder / name for name in ("cases", "index")}
    for made in inputs.values():
        made.mkdir(parents=True)
    labels = [Label(any_id, name, (any_id,), (), ()) for any_id, name in DISEASES.items()]
    Catalogue(labels).write(inputs["cases"] / "catalogue.parquet")
    rows = [
        {
            **blank_case(f"case-{i}", "test"),
            "split": "test",
            "label_id": label_id,
            "label_name": name,
            "seen": i % 2 == 0,
            "note": f"A child with a {WORDS[i]} sign.",
            "terms": ["HP:0001250"],
            "publications": [f"PMID:{i + 1}"],
        }
        for i, (label_id, name) in enumerate(DISEASES.items())
    ]
    pq.write_table(pa.Table.from_pylist(rows, CASE_SCHEMA), inputs["cases"] / "cases.parquet")
    documents = [
        Document(label_id, "disease", name, f"Findings: {WORDS[i]}.")
        for i, (label_id, name) in enumerate(DISEASES.items())
    ]
    DocumentIndex.build(documents).write(inputs["index"] / "index")
    return inputs


def context_of(folder: Path, **reasoning: object) -> StepContext:
    inputs, output = write_inputs(folder / "inputs"), folder / "output"
    output.mkdir()
    return with_settings(inputs, output, **reasoning)


def with_settings(inputs: dict[str, Path], output: Path, **reasoning: object) -> StepContext:
    config = Config.model_validate(
        {
            "retrieval": BY_WORDS,
            "reasoning": reasoning,
            "evaluation": {"bootstrap_samples": 100},
            "resources": {"actors": 1},
        }
    )
    handle = SimpleNamespace(say=lambda text: None)
    run = SimpleNamespace(log_artifact=lambda path: None)
    return StepContext(config, "key", inputs, output, run, handle)  # type: ignore[arg-type]


class Answering:
    """Answers with the disease of the document that was shown, if any was.

    Attributes:
        seconds: that each answer takes.
        failing: a word of the note of the case that never gets a reply.
    """

    def __init__(self) -> None:
        self.seconds, self.failing = 0.0, ""

    def __call__(self, body: Body) -> str | Body:
        time.sleep(self.seconds)
        said = " ".join(message["content"] for message in body["messages"])
        if self.failing and self.failing in said:
            return {"choices": "?"}
        if "EXACTLY 10" not in body["messages"][-1]["content"]:
            return f"Thoughts on turn {len(body['messages'])}."
        shown = [name for name in DISEASES.values() if name in said]
        return "POTENTIAL_DISEASES:\n" + "\n".join(f"{i}. '{n}'" for i, n in enumerate(shown, 1))


@pytest.fixture
def answering() -> Answering:
    """What the server answers."""
    return Answering()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, answering: Answering) -> Iterator[FakeServer]:
    """A server, and a client that does not wait long."""
    monkeypatch.setattr(openai_client, "INITIAL_RETRY_DELAY", 0.01)
    with serving(FakeServer(answering)) as running:
        yield running


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Callable[[StepContext], StepOutcome]:
    """Return the stage with its actor in this process, two cases at a time."""

    def infer(
        job: CaseInference, source: Path, output: Path, resources: object, only: frozenset[str]
    ) -> pa.Table:
        # The folder is what the stage removes at the end.
        output.mkdir(parents=True, exist_ok=True)
        actor = job.actor(**job.arguments)
        table = pq.read_table(source, columns=list(job.columns))
        kept = [i for i, key in enumerate(table["case_id"].to_pylist()) if key in only]
        table = table.take(kept)
        parts = [actor(table.slice(at, 2)) for at in range(0, table.num_rows, 2)]
        return pa.concat_tables(parts).sort_by("case_id")

    monkeypatch.setattr(reason, "infer", infer)
    monkeypatch.setattr(reason, "begin_session", lambda resources, say: None)
    return reason.run


def asking(server: FakeServer, **server_settings: object) -> dict[str, object]:
    named = {"base_url": server.url, "model": "fake", "timeout": 5, "retries": 0}
    return {"chat": "server", "server": named | server_settings}


def answers_of(context: StepContext) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(context.output / "answers.parquet").to_pylist()
    return rows


def test_a_case_gives_a_row_with_all_that_was_said_and_shown(
    tmp_path: Path, server: FakeServer, in_process: Callable[[StepContext], StepOutcome]
) -> None:
    context = context_of(tmp_path, protocol="rag_cot", **asking(server))
    outcome = in_process(context)
    rows = answers_of(context)
    assert [row["case_id"] for row in rows] == [f"case-{i}" for i in range(10)]
    for row, (label_id, name) in zip(rows, DISEASES.items(), strict=True):
        assert (row["names"], row["labels"], row["problem"]) == ([name], [label_id], None)
        assert len(row["transcript"]) == 11  # type: ignore[arg-type]
        assert [document["id"] for document in row["documents"]] == [label_id]  # type: ignore[attr-defined]
    table = read_predictions(context.output / "predictions.parquet")
    assert table["label_id"].to_pylist() == list(DISEASES)
    assert set(table["system"].to_pylist()) == {"rag_cot"}
    metrics = read_metrics(context.output / "metrics.json")
    assert metrics["rag_cot"]["all"]["top1"]["value"] == 1.0
    assert outcome.facts["names_of_labels"] == 10
    assert not (context.output / "asked").exists()


def test_without_documents_nothing_is_shown_and_every_case_counts(
    tmp_path: Path, server: FakeServer, in_process: Callable[[StepContext], StepOutcome]
) -> None:
    context = context_of(tmp_path, protocol="chat", **asking(server))
    outcome = in_process(context)
    assert {row["problem"] for row in answers_of(context)} == {"no_list"}
    assert outcome.facts["problems"] == {"no_list": 10}
    metrics = read_metrics(context.output / "metrics.json")
    assert metrics["chat"]["all"]["top10"]["value"] == 0.0


def test_the_retriever_alone_answers_without_a_model(
    tmp_path: Path, in_process: Callable[[StepContext], StepOutcome]
) -> None:
    context = context_of(tmp_path, protocol="retriever")
    in_process(context)
    metrics = read_metrics(context.output / "metrics.json")
    assert metrics["retriever"]["all"]["top1"]["value"] == 1.0
    assert {len(row["transcript"]) for row in answers_of(context)} == {0}  # type: ignore[arg-type]


@pytest.mark.parametrize("note", ["noisy", "terms"])
def test_other_texts_in_the_place_of_the_note(
    note: str,
    tmp_path: Path,
    server: FakeServer,
    in_process: Callable[[StepContext], StepOutcome],
) -> None:
    context = context_of(tmp_path, protocol="chat", note=note, **asking(server))
    in_process(context)
    read = server.bodies[0]["messages"][1]["content"]
    if note == "noisy":
        assert 1000 < len(read.split()) < 1700
    else:
        assert "Findings: Seizure." in read
        assert "child" not in read


def test_a_failing_server_costs_no_row(
    tmp_path: Path,
    server: FakeServer,
    answering: Answering,
    in_process: Callable[[StepContext], StepOutcome],
) -> None:
    """Who gets no reply is asked about once more; without one again, the row has its reason."""
    answering.failing = "birch"
    server.failures = [503]
    context = context_of(tmp_path, protocol="rag_cot", **asking(server, concurrency=1))
    in_process(context)
    rows = answers_of(context)
    assert [row["problem"] for row in rows] == [None, "no_reply", *[None] * 8]
    # The first case was lost, and found again.
    assert rows[0]["labels"] == ["OMIM:900000"]


def test_a_lost_server_ends_the_run_and_the_next_one_asks_for_the_rest(
    tmp_path: Path,
    server: FakeServer,
    in_process: Callable[[StepContext], StepOutcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoint_chat, "MOST_LOST", 4)
    context = context_of(tmp_path, protocol="rag_cot", **asking(server, concurrency=1))
    server.failures = [None] * 7 + [503] * 100
    with pytest.raises(TeacherError, match="no reply to 4 questions in a row"):
        in_process(context)
    kept = len((context.output / "replies.jsonl").read_bytes().splitlines())
    assert kept == 7
    server.failures, asked = [], len(server.bodies)
    in_process(context)
    assert len(server.bodies) - asked == 50 - kept
    assert all(row["problem"] is None for row in answers_of(context))


@pytest.mark.cluster
@pytest.mark.usefixtures("ray_cluster")
def test_killed_half_way_then_run_again(
    tmp_path: Path, server: FakeServer, answering: Answering
) -> None:
    """The driver is killed while it asks; the next run says the same, and asks nothing twice."""
    settings = asking(server, concurrency=1)
    whole = context_of(tmp_path / "whole", protocol="rag_cot", **settings)
    reason.run(whole)
    assert len(server.bodies) == 50
    server.bodies.clear()
    answering.seconds = 0.5
    killed = context_of(tmp_path / "killed", protocol="rag_cot", **settings)
    driver = [sys.executable, "-m", "tests.stages.reason_driver", str(tmp_path / "killed")]
    process = subprocess.Popen([*driver, server.url], start_new_session=True)
    deadline = time.monotonic() + 240
    while len(server.bodies) < 12 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    asked = 0
    while asked < len(server.bodies):  # workers notice a little later that their driver is gone
        asked = len(server.bodies)
        time.sleep(3)
    assert 12 <= asked < 50
    answering.seconds = 0.0
    reason.run(killed)
    assert answers_of(killed) == answers_of(whole)
    # One question may have been on its way when the plug was pulled.
    assert 50 <= len(server.bodies) <= 51
