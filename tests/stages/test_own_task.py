"""A task of a user's own, from files alone: faults of bicycles, from the notes of a workshop."""

from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.patients.clinical_notes.read import read_notes
from mint_ray.cases.schema import CASE_SCHEMA, ParsedCase
from mint_ray.config.config import Config
from mint_ray.evaluation.predictions import read_predictions
from mint_ray.evaluation.results import read_metrics
from mint_ray.knowledge.annotations import Annotations
from mint_ray.knowledge.release import PACKAGED
from mint_ray.pipeline.steps import StepContext
from mint_ray.stages import index, reason
from mint_ray.stages.cases.answers import open_answers, relabel
from tests.teachers.endpoint.server import Body, FakeServer, serving

FAULTS = """id,name,synonyms
F1,Worn chain,stretched chain
F2,Buckled wheel,bent rim
F3,Glazed brake pads,
"""
NOTES = """note_id,note,label
n1,Skips under load on the two smallest sprockets.,stretched chain
n2,Rim touches the same pad once in every turn.,F2
n3,Squeals and hardly slows down in the dry.,Glazed brake pads
n4,The owner reports a strange smell.,Haunted
"""
TEXTS = """id,title,text
F1,Worn chain,Links have lengthened and the drive skips under load on small sprockets.
F2,Buckled wheel,The rim wobbles and touches a pad once in every turn.
F3,Glazed brake pads,The pads shine and the brake squeals and hardly slows the bicycle.
"""


def answer(body: Body) -> str:
    asked = body["messages"][-1]["content"]
    assert "Text:" in asked
    return "POSSIBLE_ANSWERS:\n1. 'bent rim'\n2. 'Worn chain'"


@pytest.fixture
def contexts(tmp_path: Path, actors_here: None) -> dict[str, StepContext]:
    """Contexts of both steps; the cases are read from the table of notes."""
    for name, text in (("faults", FAULTS), ("notes", NOTES), ("texts", TEXTS)):
        (tmp_path / f"{name}.csv").write_text(text)
    cases = {"source": "notes", "path": str(tmp_path / "notes.csv")}
    config = Config.model_validate(
        {
            "task": "own",
            "cases": cases | {"answers": str(tmp_path / "faults.csv")},
            "retrieval": {
                "own_documents": str(tmp_path / "texts.csv"),
                "meaning": False,
                "method": "bm25",
                "rerank_of": None,
            },
            "evaluation": {"bootstrap_samples": 100},
        }
    )
    folders = {name: tmp_path / name for name in ("cases", "index", "reason")}
    for folder in folders.values():
        folder.mkdir()
    answers = open_answers(config, PACKAGED)
    assert answers is not None
    answers.write(folders["cases"] / "catalogue.parquet")
    (folders["cases"] / "excluded_publications.txt").write_text("")
    nothing = Annotations({}, {}, {}, {})
    read = read_notes(tmp_path / "notes.csv", config.cases.note_columns, nothing, "OMIM")
    parsed = relabel([row for row in read if isinstance(row, ParsedCase)], answers, config)
    rows = [{**item.case, "split": "test", "seen": False} for item in parsed]
    pq.write_table(pa.Table.from_pylist(rows, CASE_SCHEMA), folders["cases"] / "cases.parquet")
    handle = SimpleNamespace(say=lambda text: None)
    run = SimpleNamespace(log_artifact=lambda path: None)
    return {
        name: StepContext(config, "key", folders, folders[name], run, handle)  # type: ignore[arg-type]
        for name in ("index", "reason")
    }


def with_reasoning(context: StepContext, **settings: object) -> StepContext:
    tree = context.config.model_dump(mode="json") | {"reasoning": settings}
    config = Config.model_validate(tree)
    return StepContext(
        config, context.key, context.inputs, context.output, context.run, context.progress
    )


def test_own_answers_are_found_by_their_documents(contexts: dict[str, StepContext]) -> None:
    index.run(contexts["index"])
    outcome = reason.run(with_reasoning(contexts["reason"], protocol="retriever"))
    assert outcome.rows_out == 3  # the fourth note has no answer of the table
    metrics = read_metrics(contexts["reason"].output / "metrics.json")
    assert metrics["retriever"]["all"]["top1"]["value"] == 1.0


def test_own_answers_are_asked_for_in_their_own_words(contexts: dict[str, StepContext]) -> None:
    index.run(contexts["index"])
    with serving(FakeServer(answer)) as server:
        named = {"base_url": server.url, "model": "fake", "retries": 0}
        reason.run(with_reasoning(contexts["reason"], protocol="chat", chat="server", server=named))
        assert len(server.bodies) == 3
    table = read_predictions(contexts["reason"].output / "predictions.parquet")
    assert table["label_id"].to_pylist() == ["F2", "F1"] * 3
