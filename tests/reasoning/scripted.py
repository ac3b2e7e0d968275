"""A chat model that says what it is told to, and documents that are always found."""

from collections.abc import Callable, Sequence

from mint_ray.reasoning.engine import (
    ChatModel,
    Conversation,
    Limits,
    NoReplyError,
    Reply,
    Retrieve,
    dialogue,
    run_cases,
)
from mint_ray.reasoning.protocols import Protocol
from mint_ray.reasoning.records import CaseRecord
from mint_ray.reasoning.wording import Wording
from mint_ray.retrieval.documents import Document
from mint_ray.retrieval.index import Hit
from mint_ray.tasks.prompts import Message


class ScriptedChat:
    """Gives replies in turn.

    Args:
        replies: texts; None for a conversation that gets no reply.

    Attributes:
        asked: the conversations so far.
        max_new_tokens: of each turn.
    """

    def __init__(self, *replies: str | None) -> None:
        self._replies = list(replies)
        self.asked: list[list[Message]] = []
        self.max_new_tokens: list[int] = []

    def replies(self, conversations: Sequence[Conversation], max_new_tokens: int) -> list[Reply]:
        self.asked += [list(messages) for messages in conversations]
        self.max_new_tokens += [max_new_tokens] * len(conversations)
        texts = [self._replies.pop(0) for _ in conversations]
        return [NoReplyError("no_reply") if text is None else text for text in texts]


def run_case(
    case_id: str,
    note: str,
    protocol: Protocol,
    wording: Wording,
    chat: ChatModel,
    retrieve: Retrieve | None = None,
    limits: Limits | None = None,
    turn_tokens: int = 512,
) -> CaseRecord:
    """Return the record of one case."""
    asked = dialogue(case_id, note, protocol, wording, retrieve, limits or Limits())
    return run_cases([asked], chat, turn_tokens)[0]


def searching(queries: list[str], text: str = "about seizures") -> Callable[[str], list[Hit]]:
    """Return a retriever that keeps its queries and finds one document."""

    def retrieve(query: str) -> list[Hit]:
        queries.append(query)
        return [Hit(Document("OMIM:1", "disease", "Alpha syndrome", text), 2.5)]

    return retrieve
