"""Carrying out a protocol on a case with a chat model and documents."""

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol as Interface

from mint_ray.reasoning.protocols import FINAL, Protocol
from mint_ray.reasoning.records import CaseRecord, ShownDocument
from mint_ray.reasoning.wording import LIST_LENGTH, Wording
from mint_ray.retrieval.index import Hit
from mint_ray.tasks.answers import parse_list, without_thoughts
from mint_ray.tasks.prompts import Message, clean_note

DOCUMENTS_TITLE = "Documents from a knowledge base, which may or may not apply here:"

Retrieve = Callable[[str], Sequence[Hit]]
"""Function from a query, used whole, to documents, best first."""


class NoReplyError(Exception):
    """A chat model gave no reply to one case; `reason` is a value of `CaseRecord.problem`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Conversation = Sequence[Message]
Reply = str | NoReplyError
Dialogue = Generator[Conversation, Reply, CaseRecord]
"""Conversation about one case as a generator, which yields what was said so far, is sent the reply,
and returns the record in the end."""


class ChatModel(Interface):
    """A model that continues conversations."""

    def replies(self, conversations: Sequence[Conversation], max_new_tokens: int) -> list[Reply]:
        """Return the next turn of the assistant of each conversation, or why there is none."""


@dataclass(frozen=True)
class Limits:
    """Lengths of what is shown.

    Attributes:
        note_words: most words of the note, which loses its tail; None for the whole note.
        document_words: most words of each document that are shown.
    """

    note_words: int | None = None
    document_words: int = 256


def run_cases(
    dialogues: Sequence[Dialogue], model: ChatModel, turn_tokens: int
) -> list[CaseRecord]:
    """Lead dialogues side by side, so that the model may reply to all of them at a time.

    Args:
        dialogues: not yet begun.
        model: that replies.
        turn_tokens: most tokens of each reply.

    Returns:
        The records in the order of the dialogues.
    """
    records: dict[int, CaseRecord] = {}
    asked: dict[int, Conversation] = {}

    def go_on(number: int, reply: Reply | None) -> None:
        try:
            # None begins a dialogue.
            asked[number] = dialogues[number].send(reply)  # type: ignore[arg-type]
        except StopIteration as end:
            asked.pop(number, None)
            records[number] = end.value

    for number in range(len(dialogues)):
        go_on(number, None)
    while asked:
        replies = model.replies(list(asked.values()), turn_tokens)
        for number, reply in zip(list(asked), replies, strict=True):
            go_on(number, reply)
    return [records[number] for number in range(len(dialogues))]


def dialogue(
    case_id: str,
    note: str,
    protocol: Protocol,
    wording: Wording,
    retrieve: Retrieve | None = None,
    limits: Limits = Limits(),
) -> Dialogue:
    """Ask the questions of a protocol about one note, and keep all that was said.

    A case that gets no reply keeps what was said so far, and has no names.

    Args:
        case_id: of the case.
        note: untrusted text.
        protocol: questions, and when documents are shown.
        wording: words of the task.
        retrieve: finds documents; may be None if the protocol shows none.
        limits: lengths.

    Raises:
        ValueError: the protocol shows documents, and `retrieve` is None.
    """
    if protocol.documents_before is not None and retrieve is None:
        raise ValueError(f"protocol {protocol.name}: expected a retriever, found none")
    cut, shortened = _shorten(clean_note(note), limits.note_words)
    transcript: list[Message] = [{"role": "system", "content": wording.task.system}]
    asked = [*transcript]  # the transcript without the model's thoughts, which are not read again
    documents: list[ShownDocument] = []
    problem = None if cut else "empty_note"
    answers: dict[int, str] = {}
    for number in protocol.questions if cut else ():
        parts = [f"{wording.task.note_title}\n{cut}"] if len(transcript) == 1 else []
        if number == protocol.documents_before and retrieve is not None:
            query = cut if protocol.query == "note" else without_thoughts(answers[1]) or cut
            hits = retrieve(query)
            documents += map(shown, hits)
            parts += [_documents(hits, limits.document_words)] if hits else []
        parts.append(wording.question(number))
        turn: Message = {"role": "user", "content": "\n\n".join(parts)}
        transcript.append(turn)
        asked.append(turn)
        reply = yield tuple(asked)
        if isinstance(reply, NoReplyError):
            problem = reply.reason
            break
        answers[number] = reply
        transcript.append({"role": "assistant", "content": answers[number]})
        asked.append({"role": "assistant", "content": without_thoughts(answers[number])})
    final = answers.get(FINAL)
    names = parse_list(final, wording.task.header, LIST_LENGTH) if final else []
    if final is not None and not names:
        problem = "no_list" if final.strip() else "empty_answer"
    return CaseRecord(
        case_id,
        protocol.name,
        tuple(transcript),
        tuple(documents),
        tuple(names),
        problem,
        shortened,
    )


def _shorten(text: str, most_words: int | None) -> tuple[str, bool]:
    """Return the head of a text, with its line breaks, and whether its tail was cut off."""
    if most_words is None or len(text.split()) <= most_words:
        return text, False
    words = list(islice(re.finditer(r"\S+", text), most_words))
    return text[: words[-1].end()] if words else "", True


def shown(hit: Hit) -> ShownDocument:
    """Return what a record keeps of a document that was found."""
    document = hit.document
    return ShownDocument(document.id, document.title, document.part, hit.score)


def _documents(hits: Sequence[Hit], most_words: int) -> str:
    texts = [
        f"[{number}] {clean_note(hit.document.title)}\n"
        f"{_shorten(clean_note(hit.document.text), most_words)[0]}"
        for number, hit in enumerate(hits, start=1)
    ]
    return "\n\n".join([DOCUMENTS_TITLE, *texts])
