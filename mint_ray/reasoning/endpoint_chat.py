"""Chat with a model behind a server that speaks OpenAI's chat completions.

Retries, the rate limit, the budget and the file of replies are those of the teacher `endpoint`.
A reply is kept under a hash of the whole conversation, so that a run that is repeated asks only for
what it lacks and says the same.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mint_ray.common.digests import digest_of
from mint_ray.config.teacher import ServerConfig
from mint_ray.reasoning.engine import Conversation, NoReplyError, Reply
from mint_ray.teachers.endpoint import client as endpoint
from mint_ray.teachers.endpoint.ask import (
    MOST_LOST,
    Asks,
    ReplyFile,
    budget_error,
    is_budget_spent,
    lost_error,
)
from mint_ray.teachers.endpoint.questions import Question


class EndpointChat:
    """A server as a chat model, for several threads.

    Args:
        config: address, model, sampling and limits.
        client: that asks.
        file: of the replies, open.
    """

    def __init__(self, config: ServerConfig, client: Asks, file: ReplyFile) -> None:
        self._config, self._client, self._file = config, client, file
        self._lock, self._in_flight, self._lost_in_a_row = threading.Lock(), 0, 0

    def replies(self, conversations: Sequence[Conversation], max_new_tokens: int) -> list[Reply]:
        """Return the next turns of the assistant, asked for one after another.

        A turn is empty if the server refuses its conversation, and a `NoReplyError` if the server
        gave no usable reply, or none in time.

        Raises:
            TeacherError: the budget is spent, the server refuses everything, or it has not replied
                to `MOST_LOST` questions in a row; what was replied is kept.
        """
        return [self._reply(conversation, max_new_tokens) for conversation in conversations]

    def _reply(self, messages: Conversation, max_new_tokens: int) -> Reply:
        question = self._question(messages, max_new_tokens)
        with self._lock:
            known = self._file.get(question)
            if known is not None:
                return known.text
            if is_budget_spent(self._config, self._file, self._in_flight):
                raise budget_error(self._config, self._file)
            self._in_flight += 1
        try:
            reply = self._client.ask(question)
        except endpoint.NoReplyError as error:
            self._lose(error)
            return NoReplyError("no_reply")
        finally:
            with self._lock:
                self._in_flight -= 1
        with self._lock:
            self._file.add(question, reply)
            self._lost_in_a_row = 0
        return reply.text

    def _lose(self, error: endpoint.NoReplyError) -> None:
        """Count a question without a reply; raise TeacherError if the server seems to be gone."""
        with self._lock:
            self._lost_in_a_row += 1
            if self._lost_in_a_row >= MOST_LOST:
                raise lost_error(self._config, self._file, self._lost_in_a_row, str(error))

    def _question(self, messages: Conversation, max_new_tokens: int) -> Question:
        body = {
            "model": self._config.model,
            "messages": list(messages),
            "temperature": self._config.temperature,
            "max_tokens": max_new_tokens,
            **self._config.request,
        }
        body = {name: value for name, value in body.items() if value is not None}
        return Question("", body, digest_of(json.dumps(body, sort_keys=True))[:16])


@contextmanager
def open_endpoint_chat(config: ServerConfig, path: Path) -> Iterator[EndpointChat]:
    """Yield a chat with the configured server.

    Args:
        config: of the server.
        path: file of the replies, which a repeated run continues; holds text of the notes.
    """
    client = endpoint.EndpointClient(config)
    try:
        with ReplyFile(path) as file:
            yield EndpointChat(config, client, file)
    finally:
        client.close()
