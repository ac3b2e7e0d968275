"""Documents in answers, with links to the pages of their sources."""

import re

from pydantic import BaseModel, Field

from mint_ray.retrieval.documents import Kind

_PAGES = {
    "OMIM": "https://omim.org/entry/{}",
    "ORPHA": "https://www.orpha.net/en/disease/detail/{}",
    "HGNC": "https://www.genenames.org/data/gene-symbol-report/#!/hgnc_id/HGNC:{}",
    "NCBIGene": "https://www.ncbi.nlm.nih.gov/gene/{}",
}
_ID = re.compile(rf"({'|'.join(_PAGES)}):(\d+)", re.ASCII)


class SourceModel(BaseModel):
    """An id of what a document is about."""

    id: str
    url: str | None = Field(description="The id's page at its source, where that is known.")


class DocumentModel(BaseModel):
    """A document that shares words with the note; the student was not shown it."""

    id: str
    title: str
    kind: Kind = Field(description="disease, gene, or own: from a table of the operator's.")
    part: int = Field(description="Part of a long document, from 0.")
    text: str = Field(description="Its beginning.")
    score: float = Field(description="BM25: comparable within one answer alone.")
    sources: list[SourceModel]


def source_url(any_id: str) -> str | None:
    """Return the page of an id at its source; None for an id of another form or source.

    >>> source_url("ORPHA:558")
    'https://www.orpha.net/en/disease/detail/558'
    """
    matched = _ID.fullmatch(any_id)
    return _PAGES[matched[1]].format(matched[2]) if matched else None
