"""Conversations of a preference row, brought to one prompt and two single answers.

Preference sets of others repeat the prompt in front of both answers, give it there alone, or
compare the last turns of longer conversations. The turns that both answers share are the prompt.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from mint_ray.students.encoding.text import UnusableRow

Message = Mapping[str, Any]

_QUESTIONS = ("user", "tool")
_INSTRUCTIONS = ("system", "developer")
_MARKERS = ("\n\nHuman:", "\n\nAssistant:")  # turns within a text, which nobody here takes apart


class Conversation(NamedTuple):
    """A prompt and the turns that answer it; an answer that is not given is None."""

    prompt: tuple[Message, ...]
    chosen: Message | None
    rejected: Message | None


def read_conversation(row: Mapping[str, Any], with_rejected: bool = True) -> Conversation:
    """Return the prompt and the answers of a row.

    Args:
        row: `prompt`, `chosen` and `rejected` as lists of role and content. `prompt` may be absent,
            or a text that is the user's turn.
        with_rejected: whether the rejected answer counts, so that both must answer one prompt.

    Raises:
        UnusableRow: `bad_messages` where a message has no content by that name, as in ShareGPT's
            form, or where the answers do not differ in their last turn alone, or belong to another
            prompt; `prefilled_answer` where the prompt ends in an assistant's turn.
    """
    prompt = _messages(row.get("prompt"))
    chosen = _messages(row.get("chosen"))
    rejected = _messages(row.get("rejected")) if with_rejected else ()
    given = [answer for answer in (chosen, rejected) if answer]
    shared = _shared_turns(given)
    if any(len(answer) != len(shared) + 1 for answer in given):
        raise UnusableRow("bad_messages")
    prompt = _joined(prompt, shared)
    if prompt and prompt[-1].get("role") == "assistant":
        raise UnusableRow("prefilled_answer")
    return Conversation(prompt, chosen[-1] if chosen else None, rejected[-1] if rejected else None)


def _messages(value: object) -> tuple[Message, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        if any(marker in value for marker in _MARKERS):
            raise UnusableRow("bad_messages")
        return ({"role": "user", "content": value},) if value.strip() else ()
    if not isinstance(value, Sequence) or not all(map(_is_message, value)):
        raise UnusableRow("bad_messages")
    return tuple(value)


def _is_message(value: object) -> bool:
    if not isinstance(value, Mapping) or "content" not in value:
        return False
    # ShareGPT's `from` and `value`, also where a table has both forms of columns
    return value.get("role", "") is not None or value.get("from") is None


def _shared_turns(answers: Sequence[tuple[Message, ...]]) -> tuple[Message, ...]:
    """Return the turns before the last one that all answers begin with."""
    if not answers:
        return ()
    first = answers[0][:-1]
    turns = zip(*(answer[:-1] for answer in answers), strict=False)
    same = sum(1 for _ in takewhile(lambda turn: all(_is_same(turn[0], m) for m in turn), turns))
    return first[:same]


def _joined(prompt: tuple[Message, ...], shared: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return one prompt of the prompt and the turns that the answers share."""
    if not prompt or not shared:
        return prompt or shared
    size = min(len(prompt), len(shared))
    longer, shorter = (shared, prompt) if len(shared) > len(prompt) else (prompt, shared)
    if _are_same(longer[-size:], shorter) or _are_same(shared[:size], prompt):
        return longer
    if _follows(prompt[-1].get("role"), shared[0].get("role")):
        return (*prompt, *shared)
    raise UnusableRow("bad_messages")


def _follows(role: object, next_role: object) -> bool:
    """Return whether a turn continues a conversation instead of asking another question."""
    if next_role == "assistant":
        return role in _QUESTIONS
    return next_role in _QUESTIONS and (role == "assistant" or role in _INSTRUCTIONS)


def _are_same(some: Sequence[Message], others: Sequence[Message]) -> bool:
    return len(some) == len(others) and all(map(_is_same, some, others))


def _is_same(one: Message, other: Message) -> bool:
    return one.get("role") == other.get("role") and one.get("content") == other.get("content")
