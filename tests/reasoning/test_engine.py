"""Protocols, and their course."""

import pytest

from mint_ray.reasoning.engine import DOCUMENTS_TITLE, Limits, dialogue, run_cases
from mint_ray.reasoning.protocols import FINAL, PROTOCOLS, Protocol
from mint_ray.reasoning.records import CaseRecord, ShownDocument
from mint_ray.reasoning.wording import DISEASE_WORDING, GENE_WORDING, OWN_WORDING, WORDINGS
from tests.reasoning.scripted import ScriptedChat, run_case, searching

NOTE = "A boy with seizures."
LIST = "POTENTIAL_DISEASES:\n1. 'Alpha syndrome'"


def run(name: str, *replies: str | None, **other: object) -> tuple[CaseRecord, ScriptedChat, list]:
    chat, queries = ScriptedChat(*replies), []
    record = run_case(
        "case", NOTE, PROTOCOLS[name], DISEASE_WORDING, chat, searching(queries), **other
    )
    return record, chat, queries


def user_turns(record: CaseRecord) -> list[str]:
    return [m["content"] for m in record.transcript if m["role"] == "user"]


@pytest.mark.parametrize(
    ("name", "turns", "turn_with_documents", "query"),
    [
        ("chat", 1, None, None),
        ("cot", 5, None, None),
        ("rag", 1, 1, NOTE),
        ("rag_cot", 5, 1, NOTE),
        ("cot_rag", 5, 2, "answer 1"),
        ("cot_rag_late", 5, 5, "answer 1"),
    ],
)
def test_documents_are_found_and_shown_where_the_protocol_says(
    name: str, turns: int, turn_with_documents: int | None, query: str | None
) -> None:
    record, chat, queries = run(name, *(f"answer {i}" for i in range(1, turns)), LIST)
    shown = user_turns(record)
    assert len(shown) == len(chat.asked) == turns
    assert [i for i, text in enumerate(shown, 1) if DOCUMENTS_TITLE in text] == (
        [turn_with_documents] if turn_with_documents else []
    )
    assert queries == ([query] if query else [])
    assert [NOTE in text for text in shown] == [True] + [False] * (turns - 1)
    assert shown[-1].endswith(DISEASE_WORDING.question(FINAL))
    assert record.names == ("Alpha syndrome",)
    assert record.problem is None
    has_documents = turn_with_documents is not None
    assert record.documents == (ShownDocument("OMIM:1", "Alpha syndrome", 0, 2.5),) * has_documents


def test_the_protocols_are_those_of_the_paper_and_its_release() -> None:
    assert list(PROTOCOLS) == ["chat", "cot", "rag", "rag_cot", "cot_rag", "cot_rag_late"]


def test_turns_alternate_and_begin_with_the_system() -> None:
    record, chat, _ = run("cot_rag", "a", "b", "c", "d", LIST)
    roles = [message["role"] for message in record.transcript]
    assert roles == ["system", *["user", "assistant"] * 5]
    # Each turn is asked with everything before it.
    assert [len(messages) for messages in chat.asked] == [2, 4, 6, 8, 10]
    assert chat.asked[-1] == list(record.transcript[:-1])


def test_thoughts_are_kept_but_not_shown_again() -> None:
    record, chat, _ = run("cot", "<think>hm</think>One", "b", "c", "d", LIST)
    assert record.transcript[2]["content"] == "<think>hm</think>One"
    assert chat.asked[-1][2]["content"] == "One"


def test_a_thought_is_no_query() -> None:
    _, _, queries = run("cot_rag", "<think>hm</think>Seizure", "b", "c", "d", LIST)
    assert queries == ["Seizure"]
    _, _, queries = run("cot_rag", "<think>only a thought", "b", "c", "d", LIST)
    assert queries == [NOTE]


@pytest.mark.parametrize(
    ("replies", "problem", "messages"),
    [
        ((None,), "no_reply", 2),
        (("a", "b", None), "no_reply", 6),
        (("a", "b", "c", "d", ""), "empty_answer", 11),
        (("a", "b", "c", "d", "I cannot say."), "no_list", 11),
    ],
)
def test_a_case_without_an_answer_keeps_its_row(
    replies: tuple[str | None, ...], problem: str, messages: int
) -> None:
    record, _, _ = run("cot", *replies)
    assert (record.case_id, record.names, record.problem) == ("case", (), problem)
    assert len(record.transcript) == messages


def test_an_empty_note_is_not_asked_about() -> None:
    chat = ScriptedChat()
    record = run_case("case", " \n", PROTOCOLS["chat"], DISEASE_WORDING, chat)
    assert (record.names, record.problem, chat.asked) == ((), "empty_note", [])


def test_a_protocol_with_documents_needs_a_retriever() -> None:
    with pytest.raises(ValueError, match="found none"):
        run_case("case", NOTE, PROTOCOLS["rag"], DISEASE_WORDING, ScriptedChat())


def test_lengths_are_limited_from_the_tail() -> None:
    chat = ScriptedChat(LIST)
    note = "one two\nthree four"
    record = run_case(
        "case",
        note,
        PROTOCOLS["rag"],
        DISEASE_WORDING,
        chat,
        searching([], "alpha beta gamma"),
        Limits(note_words=3, document_words=2),
        turn_tokens=7,
    )
    (turn,) = user_turns(record)
    assert "one two\nthree" in turn
    assert "four" not in turn
    assert "alpha beta" in turn
    assert "gamma" not in turn
    assert record.shortened
    assert chat.max_new_tokens == [7]
    assert not run("chat", LIST)[0].shortened


def test_a_note_and_documents_cannot_end_the_turn() -> None:
    chat = ScriptedChat(LIST)
    run_case(
        "case",
        "boy <|im_end|> girl",
        PROTOCOLS["rag"],
        DISEASE_WORDING,
        chat,
        searching([], "text </s> <|eot_id|>"),
    )
    asked = chat.asked[0][-1]["content"]
    assert not any(token in asked for token in ("<|im_end|>", "</s>", "<|eot_id|>"))


def test_a_record_survives_json() -> None:
    record, _, _ = run("rag", LIST)
    assert CaseRecord.of_row(record.as_row()) == record


@pytest.mark.parametrize("wording", WORDINGS.values(), ids=list(WORDINGS))
def test_a_wording_asks_five_questions_in_its_own_words(wording: object) -> None:
    assert wording in (DISEASE_WORDING, GENE_WORDING, OWN_WORDING)
    questions = [wording.question(i) for i in range(1, 6)]  # type: ignore[attr-defined]
    assert len(set(questions)) == 5
    assert ("HPO term" in questions[0]) is (wording != OWN_WORDING)
    assert "explicitly" in questions[0]
    assert "EXACTLY 10" in questions[-1]
    with pytest.raises(ValueError, match="found 6"):
        wording.question(6)  # type: ignore[attr-defined]


def test_genes_are_asked_for_in_words_of_their_own() -> None:
    for number in range(2, 6):
        assert DISEASE_WORDING.question(number) != GENE_WORDING.question(number)
    assert "POTENTIAL_GENES:" in GENE_WORDING.question(FINAL)
    assert "pathogenic variants" in GENE_WORDING.question(4)


@pytest.mark.parametrize(
    "fields",
    [
        {"questions": (1, 2)},
        {"questions": (2, 1, 5)},
        {"questions": (5,), "documents_before": 2},
        {"questions": (1, 5), "documents_before": 1, "query": "first_answer"},
        {"questions": (5,), "query": "first_answer"},
    ],
)
def test_a_protocol_that_cannot_be_carried_out_is_a_mistake(fields: dict) -> None:
    with pytest.raises(ValueError, match="mine"):
        Protocol("mine", **fields)


def test_cases_are_asked_about_side_by_side() -> None:
    """One has no note, one no reply to its second question, and one goes on to the list."""
    protocol = PROTOCOLS["cot"]
    notes = {"empty": " ", "lost": "A girl with a cleft palate.", "whole": NOTE}
    chat = ScriptedChat("a", "b", None, "c", "d", "e", LIST)
    records = run_cases(
        [dialogue(name, note, protocol, DISEASE_WORDING) for name, note in notes.items()], chat, 9
    )
    assert [record.case_id for record in records] == list(notes)
    assert [record.problem for record in records] == ["empty_note", "no_reply", None]
    said = [m["content"] for m in records[2].transcript if m["role"] == "assistant"]
    assert said == ["b", "c", "d", "e", LIST]
    assert len(records[1].transcript) == 4
    assert set(chat.max_new_tokens) == {9}
