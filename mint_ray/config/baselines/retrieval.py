"""Settings of the documents and of the search among them."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from mint_ray.config.base import Section


class RetrievalConfig(Section):
    """Documents of the answers that may be given (step `index`), and the search (step `reason`).

    There is a document for each label of the catalogue, written from the annotations without the
    publications that `knowledge.exclude_publications` names. The first four settings change the
    index, the others only the search.
    """

    own_documents: Path | None = None
    """A table of further documents with the columns `id`, `title` and `text`, as parquet, CSV,
    tab-separated text or JSON lines. A document with the id of a disease is about that disease."""
    chunk_words: int | None = Field(None, ge=20)
    """Longest part of a document in words; parts are found one by one. Empty for whole documents.
    The paper has 256."""
    overlap_words: int = Field(20, ge=0)
    """Number of words that a part repeats of the one before it."""
    meaning: bool = True
    """Also index features of the meaning, by the embedded sentence encoder. They take a hundred
    times longer than the index of words."""
    method: Literal["bm25", "dense", "fused"] = "fused"
    """`bm25` searches by words, `dense` by meaning, `fused` joins both by their ranks."""
    documents: int = Field(1, ge=1)
    """Number of documents that a chat model is shown."""
    rerank_of: int | None = Field(3, ge=1)
    """Number of documents that are found first and then ordered by meaning. Empty to keep the order
    of the first search, which the protocol `retriever` always has. The paper finds 3 and shows
    1."""

    @model_validator(mode="after")
    def _search_fits_index(self) -> "RetrievalConfig":
        if self.chunk_words is not None and self.overlap_words >= self.chunk_words:
            raise ValueError(
                f"overlap_words={self.overlap_words}: expected less than chunk_words="
                f"{self.chunk_words}"
            )
        if not self.meaning and (self.method != "bm25" or self.rerank_of is not None):
            raise ValueError(
                "meaning=false: expected method=bm25 and rerank_of=null, which need no features, "
                f"found method={self.method} and rerank_of={self.rerank_of}"
            )
        if self.rerank_of is not None and self.rerank_of < self.documents:
            raise ValueError(
                f"rerank_of={self.rerank_of}: expected at least documents={self.documents}"
            )
        return self
