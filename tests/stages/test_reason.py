"""The stage `reason`: every case gives one row, with all that was said."""

from pathlib import Path

import pytest

from mint_ray.errors import TeacherError
from mint_ray.evaluation.predictions import read_predictions
from mint_ray.evaluation.results import read_metrics
from mint_ray.reasoning import endpoint_chat
from mint_ray.stages import reason
from tests.stages.reason_inputs import (
    DISEASES,
    Answering,
    answering,
    answers_of,
    asking,
    context_of,
    server,
)
from tests.teachers.endpoint.server import FakeServer

__all__ = ["answering", "server"]


def test_a_case_gives_a_row_with_all_that_was_said_and_shown(
    tmp_path: Path, server: FakeServer, actors_here: None
) -> None:
    context = context_of(tmp_path, protocol="rag_cot", **asking(server))
    outcome = reason.run(context)
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
    tmp_path: Path, server: FakeServer, actors_here: None
) -> None:
    context = context_of(tmp_path, protocol="chat", **asking(server))
    outcome = reason.run(context)
    assert {row["problem"] for row in answers_of(context)} == {"no_list"}
    assert outcome.facts["problems"] == {"no_list": 10}
    metrics = read_metrics(context.output / "metrics.json")
    assert metrics["chat"]["all"]["top10"]["value"] == 0.0


def test_the_retriever_alone_answers_without_a_model(tmp_path: Path, actors_here: None) -> None:
    context = context_of(tmp_path, protocol="retriever")
    reason.run(context)
    metrics = read_metrics(context.output / "metrics.json")
    assert metrics["retriever"]["all"]["top1"]["value"] == 1.0
    assert {len(row["transcript"]) for row in answers_of(context)} == {0}  # type: ignore[arg-type]


@pytest.mark.parametrize("note", ["noisy", "terms"])
def test_other_texts_in_the_place_of_the_note(
    note: str,
    tmp_path: Path,
    server: FakeServer,
    actors_here: None,
) -> None:
    context = context_of(tmp_path, protocol="chat", note=note, **asking(server))
    reason.run(context)
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
    actors_here: None,
) -> None:
    """Who gets no reply is asked about once more; without one again, the row has its reason."""
    answering.failing = "birch"
    server.failures = [503]
    context = context_of(tmp_path, protocol="rag_cot", **asking(server, concurrency=1))
    reason.run(context)
    rows = answers_of(context)
    assert [row["problem"] for row in rows] == [None, "no_reply", *[None] * 8]
    # The first case was lost, and found again.
    assert rows[0]["labels"] == ["OMIM:900000"]


def test_a_lost_server_ends_the_run_and_the_next_one_asks_for_the_rest(
    tmp_path: Path,
    server: FakeServer,
    actors_here: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoint_chat, "MOST_LOST", 4)
    context = context_of(tmp_path, protocol="rag_cot", **asking(server, concurrency=1))
    server.failures = [None] * 7 + [503] * 100
    with pytest.raises(TeacherError, match="no reply to 4 questions in a row"):
        reason.run(context)
    kept = len((context.output / "replies.jsonl").read_bytes().splitlines())
    assert kept == 7
    server.failures, asked = [], len(server.bodies)
    reason.run(context)
    assert len(server.bodies) - asked == 50 - kept
    assert all(row["problem"] is None for row in answers_of(context))
