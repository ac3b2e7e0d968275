"""A chat model that says what it is told to, and documents that are always found."""

from collections.abc import Callable, Sequence

from mint_ray.reasoning.engine import NoReplyError
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

    def reply(self, messages: Sequence[Message], max_new_tokens: int) -> str:
        self.asked.append([*messages])
        self.max_new_tokens.append(max_new_tokens)
        text = self._replies.pop(0)
        if text is None:
            raise NoReplyError("no_reply")
        return text


def searching(queries: list[str], text: str = "about seizures") -> Callable[[str], list[Hit]]:
    """Return a retriever that keeps its queries and finds one document."""

    def retrieve(query: str) -> list[Hit]:
        queries.append(query)
        return [Hit(Document("OMIM:1", "disease", "Alpha syndrome", text), 2.5)]

    return retrieve
