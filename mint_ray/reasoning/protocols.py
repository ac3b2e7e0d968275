"""Protocols: which questions are asked, and when documents are shown.

The questions are those of arXiv 2503.12286: 1 to 4 lead to question 5, which asks for the list.
"""

from dataclasses import dataclass
from typing import Literal

FINAL = 5
"""Question that asks for the list."""


@dataclass(frozen=True)
class Protocol:
    """One way to lead a chat model to a list.

    Attributes:
        name: of the system in a comparison.
        questions: in order, one turn each; the last one is `FINAL`.
        documents_before: question whose turn begins with the documents; None for no documents.
        query: what is searched with: the note, or the answer to question 1.
    """

    name: str
    questions: tuple[int, ...]
    documents_before: int | None = None
    query: Literal["note", "first_answer"] = "note"

    def __post_init__(self) -> None:
        """Raise ValueError if the protocol cannot be carried out."""
        if self.questions[-1:] != (FINAL,) or list(self.questions) != sorted(set(self.questions)):
            raise ValueError(f"{self.name}: expected rising questions that end with {FINAL}")
        if self.documents_before not in (None, *self.questions):
            raise ValueError(f"{self.name}: documents stand before a question that is not asked")
        if self.query == "first_answer" and self.documents_before in (None, self.questions[0]):
            raise ValueError(f"{self.name}: documents are searched with an answer not yet given")


_ALL = (1, 2, 3, 4, FINAL)

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("chat", (FINAL,)),  # "base" in the paper, which here is the student's base model
        Protocol("cot", _ALL),
        Protocol("rag", (FINAL,), FINAL),
        Protocol("rag_cot", _ALL, 1),
        # The paper's words: documents after question 1.
        Protocol("cot_rag", _ALL, 2, "first_answer"),
        # The released code: documents directly before question 5.
        Protocol("cot_rag_late", _ALL, FINAL, "first_answer"),
    )
}
"""Protocols by name."""
