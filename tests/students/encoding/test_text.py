from typing import Any

import pytest

from mint_ray.students.encoding.text import Encoder, UnusableRow
from mint_ray.tasks.prompts import PromptForm, build_prompt


@pytest.fixture
def encoder(tokenizer: Any) -> Encoder:
    return Encoder(tokenizer, max_prompt_length=400, max_length=600)


def text_of(encoder: Encoder, ids: tuple[int, ...]) -> str:
    return str(encoder.tokenizer.decode(list(ids)))


def test_prompt_ends_where_the_answer_starts(encoder: Encoder) -> None:
    ids, shortened, _ = encoder.prompt(build_prompt("Short note.", k=3))
    assert text_of(encoder, ids).endswith("<|im_start|>assistant\n")
    assert not shortened


def test_answer_ends_with_the_turn(encoder: Encoder) -> None:
    text = text_of(encoder, encoder.answer("1. 'A'"))
    assert text == "1. 'A'<|im_end|>"


@pytest.mark.parametrize("form", ["instruction_first", "note_first"])
def test_a_long_note_loses_its_tail_only(encoder: Encoder, form: PromptForm) -> None:
    note = "HEAD " + "some finding, " * 500 + "TAIL"
    ids, shortened, _ = encoder.prompt(build_prompt(note, 3, form))
    text = text_of(encoder, ids)
    assert shortened
    assert len(ids) <= 400
    assert len(ids) > 380
    assert "HEAD" in text
    assert "TAIL" not in text
    assert text.count("EXACTLY 3 possible rare diseases") == 1
    assert "No explanations." in text
    assert text.endswith("<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize(
    "note", ["é" * 3000, "🧬" * 2000, " " * 10**6, "x" * 10**7, "a\u0301" * 999]
)
def test_awkward_notes_are_shortened(encoder: Encoder, note: str) -> None:
    ids, _, _ = encoder.prompt(build_prompt(note, k=3))
    assert len(ids) <= 400


def test_a_foreign_prompt_is_never_cut(encoder: Encoder) -> None:
    with pytest.raises(UnusableRow, match="too_long"):
        encoder.prompt([{"role": "user", "content": "word " * 1000}])
