"""Rankings in the format of OpenAI's chat completions.

The last message of the user is the note, or contains the image. Everything else that a client
sends (system messages, temperature, tools) is ignored, because answers can only be entries of the
catalogue.
"""

import json
import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mint_ray.serving.api.answers import Answer
from mint_ray.serving.api.requests import (
    MOST_IMAGE_CHARACTERS,
    MOST_NOTE_CHARACTERS,
    UnusableRequest,
    decode_image,
)

MOST_MESSAGES = 200
MOST_PARTS = 200
"""Most parts of one message."""


class ImageUrl(BaseModel):
    """An image as a data URL; other URLs are not fetched."""

    url: str = Field(max_length=MOST_IMAGE_CHARACTERS + 100)


class Part(BaseModel):
    """A part of a message."""

    type: Literal["text", "image_url"]
    text: str | None = Field(None, max_length=MOST_NOTE_CHARACTERS)
    image_url: ImageUrl | None = None


class Message(BaseModel):
    """One message."""

    role: str = Field(max_length=32)
    content: str | Annotated[list[Part], Field(max_length=MOST_PARTS)] | None = None


class ChatRequest(BaseModel):
    """The fields of a chat completion request that the service reads."""

    model_config = ConfigDict(extra="ignore")

    messages: list[Message] = Field(min_length=1, max_length=MOST_MESSAGES)
    model: str | None = Field(None, max_length=200)
    stream: bool = False

    def image(self) -> bytes | None:
        """Return the encoded image of the user's last message; None if it has none.

        Raises:
            UnusableRequest: `no_message`, `not_fetched` or `not_base64`.
        """
        urls = [part.image_url.url for part in self._parts() if part.image_url is not None]
        return _image(urls[0]) if urls else None

    def note(self) -> str:
        """Return the text of the user's last message.

        Raises:
            UnusableRequest: `no_message`.
        """
        return "\n".join(part.text for part in self._parts() if part.text)

    def _parts(self) -> list[Part]:
        contents = [message.content for message in self.messages if message.role == "user"]
        if not contents or not contents[-1]:
            raise UnusableRequest("no_message", "expected a message with role user, found none")
        content = contents[-1]
        return [Part(type="text", text=content)] if isinstance(content, str) else content


def as_chat(answer: Answer) -> dict[str, Any]:
    """Return a chat completion whose message lists the ranking."""
    message = {"role": "assistant", "content": _text(answer)}
    return {
        **_head(answer, "chat.completion"),
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }


def as_chat_events(answer: Answer) -> Iterator[str]:
    """Yield the chat completion as server-sent events, for clients that stream."""
    head = _head(answer, "chat.completion.chunk")
    for delta, reason in (({"role": "assistant", "content": _text(answer)}, None), ({}, "stop")):
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        yield f"data: {json.dumps({**head, 'choices': [choice]})}\n\n"
    yield "data: [DONE]\n\n"


def _head(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.request_id}",
        "object": kind,
        "created": int(time.time()),
        "model": answer.model.name,
    }


def _text(answer: Answer) -> str:
    lines = [
        f"{entry.rank}. {entry.name} ({entry.id}), probability {entry.probability:.2f}"
        for entry in answer.ranking
    ]
    if answer.none_of_these.flagged:
        lines.insert(0, f"None of the catalogue's entries: {answer.none_of_these.reason}.")
    return "\n".join(lines)


def _image(url: str) -> bytes:
    head, _, data = url.partition(",")
    if not head.startswith("data:image/") or not head.endswith(";base64"):
        raise UnusableRequest(
            "not_fetched",
            "expected an image as a data:image/...;base64, URL; other URLs are not fetched",
        )
    return decode_image(data)
