"""Rows of other tools: one prompt with two single answers, or a reason."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.errors import DataError
from mint_ray.students.data.conversations import read_conversation
from mint_ray.students.data.pair_table import PairTable
from mint_ray.students.data.rows import RowEncoder
from mint_ray.students.encoding.text import Encoder, UnusableRow
from mint_ray.students.logprobs.examples import CompletionKind
from tests.conftest import SHARED_DATA

FIELD = SHARED_DATA.parent / "field" / "preferences"
Turns = list[dict[str, Any]]


def turns(*texts: str) -> Turns:
    """Turns by their first letter: system, user, assistant."""
    roles = {"S": "system", "U": "user", "A": "assistant"}
    return [{"role": roles[text[0]], "content": text} for text in texts]


def row(prompt: object, chosen: Turns | None, rejected: Turns | None) -> dict[str, Any]:
    return {"preference_id": "p", "prompt": prompt, "chosen": chosen, "rejected": rejected}


# What a row says -> the prompt, the chosen and the rejected answer
READ: dict[str, tuple[dict[str, Any], list[str], str, str]] = {
    "single turns": (row(turns("U"), turns("Ac"), turns("Ar")), ["U"], "Ac", "Ar"),
    "a system turn": (row(turns("S", "U"), turns("Ac"), turns("Ar")), ["S", "U"], "Ac", "Ar"),
    "shared turns after the prompt": (
        row(turns("U1"), turns("A1", "U2", "Ac"), turns("A1", "U2", "Ar")),
        ["U1", "A1", "U2"],
        "Ac",
        "Ar",
    ),
    "the prompt in the answers alone": (
        row(None, turns("U", "Ac"), turns("U", "Ar")),
        ["U"],
        "Ac",
        "Ar",
    ),
    "an empty prompt": (
        row([], turns("S", "U", "Ac"), turns("S", "U", "Ar")),
        ["S", "U"],
        "Ac",
        "Ar",
    ),
    "the prompt in both places": (
        row(turns("U"), turns("U", "Ac"), turns("U", "Ar")),
        ["U"],
        "Ac",
        "Ar",
    ),
    "the prompt in both places, and more turns": (
        row(turns("U1"), turns("U1", "A1", "U2", "Ac"), turns("U1", "A1", "U2", "Ar")),
        ["U1", "A1", "U2"],
        "Ac",
        "Ar",
    ),
    "a system turn in the answers alone": (
        row(turns("U"), turns("S", "U", "Ac"), turns("S", "U", "Ar")),
        ["S", "U"],
        "Ac",
        "Ar",
    ),
    "a system turn in the prompt alone": (
        row(turns("S", "U"), turns("U", "Ac"), turns("U", "Ar")),
        ["S", "U"],
        "Ac",
        "Ar",
    ),
    "a prompt of the system alone": (
        row(turns("S"), turns("U", "Ac"), turns("U", "Ar")),
        ["S", "U"],
        "Ac",
        "Ar",
    ),
    "a prompt that the answers go on": (
        row(turns("U1", "A1"), turns("U2", "Ac"), turns("U2", "Ar")),
        ["U1", "A1", "U2"],
        "Ac",
        "Ar",
    ),
    "the last question again": (
        row(turns("U2"), turns("U1", "A1", "U2", "Ac"), turns("U1", "A1", "U2", "Ar")),
        ["U1", "A1", "U2"],
        "Ac",
        "Ar",
    ),
    "a prompt that is a text": (row("U", turns("Ac"), turns("Ar")), ["U"], "Ac", "Ar"),
    "a prompt that is a text, and in the answers": (
        row("U", turns("U", "Ac"), turns("U", "Ar")),
        ["U"],
        "Ac",
        "Ar",
    ),
}


@pytest.mark.parametrize("name", READ)
def test_the_answers_are_those_of_the_last_question(name: str) -> None:
    given, prompt, chosen, rejected = READ[name]
    read = read_conversation(given)
    assert [turn["content"] for turn in read.prompt] == prompt
    assert read.chosen is not None
    assert read.rejected is not None
    assert (read.chosen["content"], read.rejected["content"]) == (chosen, rejected)


def sharegpt(*texts: str) -> Turns:
    return [{"from": "human" if text[0] == "U" else "gpt", "value": text} for text in texts]


def both_forms(*texts: str) -> Turns:
    """As a table has it whose other rows have role and content."""
    return [{"role": None, "content": None, **turn} for turn in sharegpt(*texts)]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "answers that differ before the last turn": (
        row(turns("U1"), turns("A1", "U2", "Ac"), turns("A2", "U2", "Ar")),
        "bad_messages",
    ),
    "one answer with more turns": (
        row(turns("U1"), turns("A1", "U2", "Ac"), turns("Ar")),
        "bad_messages",
    ),
    "answers to different questions": (
        row(None, turns("U1", "Ac"), turns("U2", "Ar")),
        "bad_messages",
    ),
    "answers to another question than the prompt": (
        row(turns("U1"), turns("U2", "Ac"), turns("U2", "Ar")),
        "bad_messages",
    ),
    "the prompt in one answer": (row(turns("U"), turns("U", "Ac"), turns("Ar")), "bad_messages"),
    "an answer that ends in a question": (
        row(turns("U1"), turns("Ac", "U2"), turns("Ar", "U2")),
        "bad_messages",
    ),
    "no prompt": (row(None, turns("Ac"), turns("Ar")), "bad_messages"),
    "ShareGPT": (row(sharegpt("U"), sharegpt("Ac"), sharegpt("Ar")), "bad_messages"),
    "ShareGPT's answers": (row(turns("U"), sharegpt("Ac"), sharegpt("Ar")), "bad_messages"),
    "ShareGPT's prompt": (row(sharegpt("U"), turns("Ac"), turns("Ar")), "bad_messages"),
    "ShareGPT among others": (row(turns("U"), both_forms("Ac"), both_forms("Ar")), "bad_messages"),
    "turns within a text": (
        row("\n\nHuman: U\n\nAssistant:", turns("Ac"), turns("Ar")),
        "bad_messages",
    ),
    "a prefilled answer": (row(turns("U", "A"), turns("Ac"), turns("Ar")), "prefilled_answer"),
    "a shared beginning of the answer": (
        row(turns("U"), turns("A", "Ac"), turns("A", "Ar")),
        "prefilled_answer",
    ),
    "no chosen answer": (row(turns("U"), [], turns("Ar")), "empty_chosen"),
    "no rejected answer": (row(turns("U"), turns("Ac"), None), "empty_rejected"),
    "the same conversations": (
        row(turns("U1"), turns("A1", "U2", "Ac"), turns("A1", "U2", "Ac")),
        "identical_answers",
    ),
}


def reason_of(given: dict[str, Any], tokenizer: Any, compares: CompletionKind = "pairs") -> str:
    encoder = RowEncoder(Encoder(tokenizer, 700, 1400), compares, {}, k=2)
    try:
        encoder.encode_row(given)
    except UnusableRow as error:
        return error.reason
    return "read"


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_one_prompt_has_a_reason(name: str, tokenizer: Any) -> None:
    given, reason = BAD[name]
    assert reason_of(given, tokenizer) == reason


def test_a_chosen_answer_alone_needs_no_rejected_one(tokenizer: Any) -> None:
    """The chosen conversation is complete in itself, whatever was rejected."""
    given = row(turns("U1"), turns("A1", "U2", "Ac"), turns("A2", "U2", "Ar"))
    assert reason_of(given, tokenizer, "chosen") == "read"
    encoder = RowEncoder(Encoder(tokenizer, 700, 1400), "chosen", {}, k=2)
    prompt = row(turns("U1", "A1", "U2"), turns("Ac"), None)
    assert encoder.encode_row(given) == encoder.encode_row(prompt)


@pytest.mark.parametrize("name", ["the prompt in the answers alone", "a prompt that is a text"])
def test_tables_without_a_list_of_prompts(name: str, tokenizer: Any, tmp_path: Path) -> None:
    given, prompt, chosen, rejected = READ[name]
    columns = {key: [value] for key, value in given.items() if value is not None}
    pq.write_table(pa.table(columns), tmp_path / "pairs.parquet")
    encoder = RowEncoder(Encoder(tokenizer, 700, 1400), "pairs", {}, k=2)
    table = PairTable(tmp_path / "pairs.parquet")
    expected = encoder.encode_row(row(turns(*prompt), turns(chosen), turns(rejected)))
    assert table.scan(encoder).counts == {}
    assert table.example((0,), encoder) == expected


def test_texts_with_turns_inside_are_refused_at_once(tmp_path: Path) -> None:
    text = "\n\nHuman: U\n\nAssistant: A"
    columns = {"chosen": [text], "rejected": [f"{text}r"]}
    pq.write_table(pa.table(columns), tmp_path / "pairs.parquet")
    with pytest.raises(DataError, match="list of role and content"):
        PairTable(tmp_path / "pairs.parquet")


@pytest.mark.skipif(not FIELD.is_dir(), reason="no field inputs in ../shared")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("41_multi_turn", "bad_messages"),
        ("42_sharegpt", "bad_messages"),
        ("44_prefill", "prefilled_answer"),
    ],
)
def test_the_rows_of_the_field(name: str, reason: str, tokenizer: Any) -> None:
    table = PairTable(FIELD / f"{name}.parquet")
    encoder = RowEncoder(Encoder(tokenizer, 700, 1400), "pairs", {}, k=2)
    assert table.scan(encoder).counts == {reason: len(table)}
