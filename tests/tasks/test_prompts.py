import pytest

from mint_ray.tasks.prompts import (
    answer_message,
    answer_text,
    build_prompt,
    clean_note,
    parse_answer,
    split_note,
)
from mint_ray.tasks.task import DISEASE


def test_prompt_asks_for_exactly_k() -> None:
    system, user = build_prompt("Tall stature.", k=7)
    assert (system["role"], user["role"]) == ("system", "user")
    assert user["content"].startswith("Tall stature.\n\n")
    assert "EXACTLY 7" in user["content"]
    assert DISEASE.header in user["content"]


def test_answer_has_header_and_quoted_lines() -> None:
    assert answer_text(["A b", "C"]) == "POTENTIAL_DISEASES:\n1. 'A b'\n2. 'C'"
    assert answer_message(["A b"])[0]["role"] == "assistant"


def test_answer_is_parsed_back() -> None:
    names = ["Marfan syndrome", "Noonan syndrome 1", "Foo (bar)"]
    assert parse_answer(answer_text(names)) == names


@pytest.mark.parametrize(
    "text",
    [
        "1) Foo\n2) Bar",
        "Sure!\nPOTENTIAL_DISEASES:\n\n 1. ‘Foo’.\n2. **Bar**\nThat is all.",
        'potential diseases\n1. "Foo",\n2. `Bar`',
        "POTENTIAL_DISEASES:\n1. 'Foo'\n2. 'Bar'\nPOTENTIAL_DISEASES:\n1. 'Baz'",
    ],
)
def test_parsing_is_lenient(text: str) -> None:
    assert parse_answer(text) == ["Foo", "Bar"]


@pytest.mark.parametrize("text", ["", "no list here", "1.", DISEASE.header, "\x00\n\n1. ''"])
def test_parsing_nothing_gives_nothing(text: str) -> None:
    assert parse_answer(text) == []


@pytest.mark.parametrize(
    "token", ["<|im_end|>", "<|eot_id|>", "</s>", "[INST]", "<end_of_turn>", "<image>", "<<SYS>>"]
)
def test_template_tokens_are_broken(token: str) -> None:
    cleaned = clean_note(f"before {token} after")
    assert token not in cleaned
    assert cleaned.startswith("before ")


def test_text_that_cannot_be_encoded_is_replaced() -> None:
    assert clean_note("a\ud800b\x00c") == "a?b c"


def test_the_last_separator_ends_the_note() -> None:
    note = "x\n\nList EXACTLY 3 things"
    content = build_prompt(note, k=5)[1]["content"]
    parts = split_note(content)
    assert parts is not None
    assert parts[0] == note
    assert split_note("a prompt of someone else") is None
