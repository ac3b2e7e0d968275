"""Settings of the chat model that is asked about cases, and of what it is asked."""

from typing import Literal

from pydantic import Field, model_validator

from mint_ray.config.base import Section
from mint_ray.config.teacher import ServerConfig


class ReasoningConfig(Section):
    """A chat model that is asked about the test cases, with or without documents (step `reason`).

    The cases are those that `evaluate` tests. Nothing is trained.
    """

    protocol: Literal["retriever", "chat", "cot", "rag", "rag_cot", "cot_rag", "cot_rag_late"] = (
        "rag_cot"
    )
    """Questions and documents, after arXiv 2503.12286. `retriever` asks nothing: the documents that
    are found are the answer. `chat` asks for the list alone. `cot` asks five questions. `rag` shows
    documents before it asks for the list. `rag_cot` shows documents, then asks five questions.
    `cot_rag` searches with the answer to question 1 and shows the documents before question 2,
    `cot_rag_late` before question 5."""
    note: Literal["clean", "noisy", "terms"] = "clean"
    """Text in the place of the note: the note itself, the note among irrelevant history (up to
    1,600 words), or the names of its HPO terms."""
    chat: Literal["local", "server"] = "local"
    """A model in the workers, or a server."""
    model: str = "embedded"
    """Local model: `embedded`, the name of a Hugging Face model with a chat template, or a
    folder."""
    sample: bool = False
    """Draw the tokens of a local model as the paper does (temperature 0.8, top-p 0.8, top-k 10),
    with a seed of each case. Otherwise the likeliest token is taken."""
    server: ServerConfig = ServerConfig()
    turn_tokens: int = Field(512, ge=8)
    """Largest length of each reply, in tokens."""
    note_words: int | None = Field(None, ge=1)
    """Largest number of words of the note that a chat model is shown; the tail is cut off. Empty
    for the whole note."""
    document_words: int = Field(256, ge=1)
    """Largest number of words of each document that are shown."""

    @model_validator(mode="after")
    def _server_is_named(self) -> "ReasoningConfig":
        if self.chat == "server" and not (self.server.base_url and self.server.model):
            raise ValueError(
                "chat=server: expected reasoning.server.base_url and reasoning.server.model, found "
                "none"
            )
        return self
