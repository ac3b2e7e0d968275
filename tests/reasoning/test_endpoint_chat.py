"""Chat with a real HTTP server, which may fail."""

from collections.abc import Iterator
from pathlib import Path

import openai._base_client as openai_client
import pytest

from mint_ray.config.teacher import ServerConfig
from mint_ray.errors import TeacherError
from mint_ray.reasoning.endpoint_chat import open_endpoint_chat
from mint_ray.reasoning.protocols import PROTOCOLS
from mint_ray.reasoning.records import CaseRecord
from mint_ray.reasoning.wording import GENE_WORDING
from tests.reasoning.scripted import run_case, searching
from tests.teachers.endpoint.server import Body, FakeServer, serving

NOTES = ("A boy with seizures.", "A girl with a cleft palate.")


def answer(body: Body) -> str:
    if "EXACTLY 10" in body["messages"][-1]["content"]:
        return "POTENTIAL_GENES:\n1. FBN1"
    return f"answer {len(body['messages']) // 2}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A server, and a client that does not wait long."""
    monkeypatch.setattr(openai_client, "INITIAL_RETRY_DELAY", 0.01)
    with serving(FakeServer(answer)) as running:
        yield running


def run_all(server: FakeServer, path: Path, **settings: object) -> list[CaseRecord]:
    config = ServerConfig(base_url=server.url, model="fake", timeout=5, **settings)
    with open_endpoint_chat(config, path) as chat:
        return [
            run_case(str(i), note, PROTOCOLS["cot_rag"], GENE_WORDING, chat, searching([]))
            for i, note in enumerate(NOTES)
        ]


def test_the_server_gets_the_whole_conversation(server: FakeServer, tmp_path: Path) -> None:
    records = run_all(server, tmp_path / "replies.jsonl")
    assert [record.names for record in records] == [("FBN1",), ("FBN1",)]
    assert [len(body["messages"]) for body in server.bodies] == [2, 4, 6, 8, 10] * 2
    assert server.bodies[4]["messages"] == list(records[0].transcript[:-1])
    assert {body["max_tokens"] for body in server.bodies} == {512}


def test_a_run_that_is_repeated_asks_nothing_twice(server: FakeServer, tmp_path: Path) -> None:
    first = run_all(server, tmp_path / "replies.jsonl")
    asked = len(server.bodies)
    assert run_all(server, tmp_path / "replies.jsonl") == first
    assert len(server.bodies) == asked


def test_a_killed_run_says_the_same(server: FakeServer, tmp_path: Path) -> None:
    whole = run_all(server, tmp_path / "whole.jsonl")
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "killed.jsonl").write_bytes(b"".join(lines[:6]) + lines[6][:10])
    server.bodies.clear()
    assert run_all(server, tmp_path / "killed.jsonl") == whole
    assert len(server.bodies) == 4


def test_a_failing_server_costs_no_row(server: FakeServer, tmp_path: Path) -> None:
    server.failures = ["garbage"]
    first, second = run_all(server, tmp_path / "replies.jsonl", retries=0)
    assert (first.names, first.problem) == ((), "no_reply")
    assert (second.names, second.problem) == (("FBN1",), None)
    # The next run asks for what is missing.
    again, _ = run_all(server, tmp_path / "replies.jsonl", retries=0)
    assert (again.names, again.problem) == (("FBN1",), None)


def test_a_refused_conversation_is_an_empty_answer(server: FakeServer, tmp_path: Path) -> None:
    server.failures = [400] * 5
    first, second = run_all(server, tmp_path / "replies.jsonl")
    assert (first.names, first.problem) == ((), "empty_answer")
    assert second.names == ("FBN1",)


def test_a_budget_ends_the_run_and_keeps_the_replies(server: FakeServer, tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"^http.* 3 replies"):
        run_all(server, tmp_path / "replies.jsonl", max_requests=3)
    assert len(server.bodies) == 3
    with pytest.raises(TeacherError, match="reach"):
        run_all(server, tmp_path / "replies.jsonl", max_total_tokens=500)
    assert len(server.bodies) == 5
    assert len(run_all(server, tmp_path / "replies.jsonl", max_requests=10)) == 2
    assert len(server.bodies) == 10
