"""Documents that are searched, and their parts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["disease", "gene", "own"]

CHUNK_WORDS, OVERLAP_WORDS = 256, 20
"""Length and overlap of chunks, as in the paper (arXiv 2503.12286)."""


@dataclass(frozen=True)
class Document:
    """A document, or one part of it.

    Attributes:
        id: of the disease or gene ("OMIM:154700"), or as a user's table gives it.
        kind: what the document is about.
        title: name of the disease, symbol of the gene, or title of a user's document.
        text: without the title.
        part: number of the part, from 0; parts of one document share its id.
    """

    id: str
    kind: Kind
    title: str
    text: str
    part: int = 0

    @property
    def content(self) -> str:
        """Title and text, by which a document is found."""
        return f"{self.title}\n{self.text}"


def in_order(documents: Iterable[Document]) -> tuple[Document, ...]:
    """Return documents by id, kind and part: the order in which ties are settled everywhere.

    A user's own document may have the id of a disease or gene, which it is then about.

    Raises:
        ValueError: two documents have the same id, kind and part.
    """
    ordered = tuple(sorted(documents, key=_key))
    repeated = len(ordered) - len(set(map(_key, ordered)))
    if repeated:
        raise ValueError(f"{repeated} documents have the id of another one of their kind")
    return ordered


def _key(document: Document) -> tuple[str, str, int]:
    return document.id, document.kind, document.part


def chunk(
    documents: Iterable[Document], words: int = CHUNK_WORDS, overlap: int = OVERLAP_WORDS
) -> Iterator[Document]:
    """Yield the parts of each document, every one with the document's title.

    Args:
        documents: whole documents.
        words: most words of a part.
        overlap: words that a part repeats of the one before it; less than `words`.
    """
    if not 0 <= overlap < words:
        raise ValueError(f"expected an overlap of 0 to {words - 1} words, found {overlap}")
    for document in documents:
        for part, text in enumerate(_windows(document.text, words, overlap)):
            yield replace(document, text=text, part=part)


def _windows(text: str, words: int, overlap: int) -> Iterator[str]:
    if len(text.split()) <= words:
        yield text  # with its line breaks
        return
    every: Sequence[str] = text.split()
    for start in range(0, max(1, len(every) - overlap), words - overlap):
        yield " ".join(every[start : start + words])
