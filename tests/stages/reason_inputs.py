"""Cases and documents of ten invented diseases, and a server that is asked about them."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import openai._base_client as openai_client
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.config.config import Config
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.pipeline.steps import StepContext
from mint_ray.retrieval.documents import Document
from mint_ray.retrieval.index import DocumentIndex
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


def asking(server: FakeServer, **server_settings: object) -> dict[str, object]:
    named = {"base_url": server.url, "model": "fake", "timeout": 5, "retries": 0}
    return {"chat": "server", "server": named | server_settings}


def answers_of(context: StepContext) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(context.output / "answers.parquet").to_pylist()
    return rows
