"""Chat with a tiny random model whose cache is kept between turns."""

from typing import Any

import pytest
import torch

from mint_ray.reasoning.engine import Limits, NoReplyError, run_case
from mint_ray.reasoning.local_chat import LocalChat
from mint_ray.reasoning.protocols import PROTOCOLS
from mint_ray.reasoning.wording import DISEASE_WORDING
from mint_ray.students.ranking.generation import Sampling
from mint_ray.tasks.prompts import Message
from tests.students.conftest import make_model, make_tokenizer

CONVERSATION: list[Message] = [
    {"role": "system", "content": "You are a counsellor."},
    {"role": "user", "content": "A boy with seizures. What is it?"},
    {"role": "assistant", "content": "Marfan syndrome"},
    {"role": "user", "content": "And if not?"},
    {"role": "assistant", "content": "Noonan syndrome 1"},
    {"role": "user", "content": "Name ten."},
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """See `make_tokenizer`."""
    return make_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    """See `make_model`."""
    return make_model(tokenizer)


def generated_alone(model: Any, tokenizer: Any, messages: list[Message], n: int) -> str:
    """Return the reply without any cache, by the library's own means."""
    ids = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.inference_mode():
        out = model.generate(**ids, max_new_tokens=n, do_sample=False, pad_token_id=2)
    return str(tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))


def test_a_kept_cache_changes_no_reply(model: Any, tokenizer: Any) -> None:
    chat = LocalChat(model, tokenizer)
    other: list[Message] = [CONVERSATION[0], {"role": "user", "content": "A girl. What is it?"}]
    for messages in (CONVERSATION[:2], CONVERSATION[:4], CONVERSATION, other, CONVERSATION[:2]):
        expected = generated_alone(model, tokenizer, messages, 12)
        assert chat.reply(messages, 12) == expected.strip()


def test_a_turn_computes_what_is_new(model: Any, tokenizer: Any) -> None:
    chat = LocalChat(model, tokenizer)
    messages = CONVERSATION[:2]
    said = chat.reply(messages, 4)
    first = chat.tokens_computed
    assert first == chat.tokens_shown
    turns: list[Message] = [
        *messages,
        {"role": "assistant", "content": said},
        {"role": "user", "content": "And?"},
    ]
    chat.reply(turns, 4)
    # The question, and the last reply where its text gives other tokens than were drawn.
    new = chat.tokens_computed - first
    assert new <= chat.tokens_shown - first - (first - 1)
    assert new < first
    chat.reply(turns, 4)
    assert chat.tokens_computed == first + new + 1


def test_the_prompt_ends_where_the_assistant_begins(model: Any, tokenizer: Any) -> None:
    """The released scripts left the start of the assistant's turn out."""
    ids = LocalChat(model, tokenizer)._encode(CONVERSATION[:2])
    assert tokenizer.decode(ids).endswith("<|im_end|>\n<|im_start|>assistant\n")


def test_special_tokens_in_a_note_are_broken(model: Any, tokenizer: Any) -> None:
    messages: list[Message] = [{"role": "user", "content": "a <|im_end|> b"}]
    ids = LocalChat(model, tokenizer)._encode(messages)
    assert ids.count(tokenizer.eos_token_id) == 1


def test_a_template_without_system_messages_gets_them_in_the_first_turn(model: Any) -> None:
    strict = make_tokenizer()
    strict.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        + strict.chat_template
    )
    text = strict.decode(LocalChat(model, strict)._encode(CONVERSATION[:4]))
    assert "<|im_start|>user\nYou are a counsellor.\n\nA boy" in text


def test_what_does_not_fit_gets_no_reply(model: Any, tokenizer: Any) -> None:
    chat = LocalChat(model, tokenizer)
    record = run_case("case", "word " * 3000, PROTOCOLS["chat"], DISEASE_WORDING, chat)
    assert (record.names, record.problem) == ((), "too_long")
    with pytest.raises(NoReplyError, match="too_long"):
        chat.reply(CONVERSATION, 2048)
    assert chat.reply(CONVERSATION[:2], 4) == LocalChat(model, tokenizer).reply(CONVERSATION[:2], 4)


def test_a_draw_is_repeatable(model: Any, tokenizer: Any) -> None:
    first, again, *others = [
        LocalChat(model, tokenizer, Sampling(seed=seed)).reply(CONVERSATION, 12)
        for seed in (0, 0, 1, 2, 3)
    ]
    assert first == again
    assert {first} != {*others}


def test_a_protocol_runs_through(model: Any, tokenizer: Any) -> None:
    chat = LocalChat(model, tokenizer)
    record = run_case(
        "case", "A boy.", PROTOCOLS["cot"], DISEASE_WORDING, chat, None, Limits(turn_tokens=8)
    )
    assert len(record.transcript) == 11 or record.problem in ("too_long", "empty_answer", "no_list")
    assert chat.tokens_computed < 0.6 * chat.tokens_shown


def test_a_case_does_not_depend_on_those_before_it(model: Any, tokenizer: Any) -> None:
    chat = LocalChat(model, tokenizer, Sampling())
    chat.begin(7)
    first, computed = chat.reply(CONVERSATION, 12), chat.tokens_computed
    chat.reply(CONVERSATION[:2], 5)
    before = chat.tokens_computed
    chat.begin(7)
    assert chat.reply(CONVERSATION, 12) == first
    assert chat.tokens_computed - before == computed  # nothing was taken from the cache
