"""Chat with a tiny random model whose cache is kept between turns."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from mint_ray.reasoning.engine import Conversation, NoReplyError
from mint_ray.reasoning.local_chat import LocalChat
from mint_ray.reasoning.protocols import PROTOCOLS
from mint_ray.reasoning.wording import DISEASE_WORDING
from mint_ray.students.ranking.generation import Sampling
from mint_ray.tasks.prompts import Message
from tests.reasoning.scripted import run_case
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


def said(chat: LocalChat, messages: Conversation, n: int) -> str:
    (reply,) = chat.replies([messages], n)
    assert isinstance(reply, str)
    return reply


def test_a_kept_cache_changes_no_reply(model: Any, tokenizer: Any) -> None:
    chat = LocalChat(model, tokenizer)
    other: list[Message] = [CONVERSATION[0], {"role": "user", "content": "A girl. What is it?"}]
    for messages in (CONVERSATION[:2], CONVERSATION[:4], CONVERSATION, other, CONVERSATION[:2]):
        expected = generated_alone(model, tokenizer, messages, 12)
        assert said(chat, messages, 12) == expected.strip()


def test_a_turn_computes_what_is_new(model: Any, tokenizer: Any) -> None:
    chat = LocalChat(model, tokenizer)
    messages = CONVERSATION[:2]
    reply = said(chat, messages, 4)
    first = chat.tokens_computed
    assert first == chat.tokens_shown
    turns: list[Message] = [
        *messages,
        {"role": "assistant", "content": reply},
        {"role": "user", "content": "And?"},
    ]
    said(chat, turns, 4)
    # The question, and the last reply where its text gives other tokens than were drawn.
    new = chat.tokens_computed - first
    assert new <= chat.tokens_shown - first - (first - 1)
    assert new < first
    said(chat, turns, 4)
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
    (refused,) = chat.replies([CONVERSATION], 2048)
    assert isinstance(refused, NoReplyError)
    assert refused.reason == "too_long"
    assert said(chat, CONVERSATION[:2], 4) == said(LocalChat(model, tokenizer), CONVERSATION[:2], 4)


def test_a_draw_is_repeatable(model: Any, tokenizer: Any) -> None:
    first, again, *others = [
        said(LocalChat(model, tokenizer, Sampling(seed=seed)), CONVERSATION, 12)
        for seed in (0, 0, 1, 2, 3)
    ]
    assert first == again
    assert {first} != {*others}


def test_a_protocol_runs_through(model: Any, tokenizer: Any) -> None:
    chat = LocalChat(model, tokenizer)
    record = run_case("case", "A boy.", PROTOCOLS["cot"], DISEASE_WORDING, chat, turn_tokens=8)
    assert len(record.transcript) == 11 or record.problem in ("too_long", "empty_answer", "no_list")
    assert chat.tokens_computed < 0.6 * chat.tokens_shown


def test_a_case_does_not_depend_on_those_before_it(model: Any, tokenizer: Any) -> None:
    chat = LocalChat(model, tokenizer, Sampling())
    chat.begin(7)
    first, computed = said(chat, CONVERSATION, 12), chat.tokens_computed
    said(chat, CONVERSATION[:2], 5)
    before = chat.tokens_computed
    chat.begin(7)
    assert said(chat, CONVERSATION, 12) == first
    assert chat.tokens_computed - before == computed  # nothing was taken from the cache


def make_windowed_model(tokenizer: Any) -> Any:
    """Return a tiny random model that attends to the last eight tokens alone."""
    torch.manual_seed(0)
    settings = make_model(tokenizer).config.to_dict()
    kept = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "eos_token_id")
    config = Qwen2Config(
        **{name: settings[name] for name in kept},
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.3,
        pad_token_id=2,
        use_sliding_window=True,
        sliding_window=8,
        max_window_layers=0,
    )
    return Qwen2ForCausalLM(config).eval()


@pytest.mark.parametrize("make", [make_model, make_windowed_model])
def test_several_at_a_time_get_what_each_gets_alone(
    tokenizer: Any, make: Callable[[Any], Any]
) -> None:
    """Of unlike lengths, over three turns, in which one does not fit and one is over."""
    model = make(tokenizer)
    chat = LocalChat(model, tokenizer)
    notes = ("A boy with seizures.", "A girl.", "A boy with tall stature and a cleft palate. " * 3)
    talks = {note: [CONVERSATION[0], {"role": "user", "content": note}] for note in notes}
    for turn in range(3):
        if turn == 2:
            del talks[notes[1]]
        too_long: list[Message] = [{"role": "user", "content": "word " * 3000}]
        *replies, refused = chat.replies([*talks.values(), too_long], 6 + turn)
        assert isinstance(refused, NoReplyError)
        for messages, reply in zip(talks.values(), replies, strict=True):
            assert reply == generated_alone(model, tokenizer, messages, 6 + turn).strip()
            messages.append({"role": "assistant", "content": str(reply)})
            messages.append({"role": "user", "content": f"And question {turn}?"})
    if make is make_model:
        assert chat.tokens_computed < 0.7 * chat.tokens_shown
