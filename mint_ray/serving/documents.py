"""Documents that are found for a note, to be shown beside its answer: search by words alone.

The search runs where the student does, in the same process: no note leaves it.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.manifest import finished_manifest
from mint_ray.retrieval.index import DocumentIndex
from mint_ray.serving.api.found import DocumentModel, SourceModel, source_url
from mint_ray.tasks.prompts import clean_note

MOST_DOCUMENTS = 5
"""Documents that are listed for a note."""
MOST_CHARACTERS = 1500
"""Characters of a document's text that are shown."""


def check_folder(folder: Path) -> None:
    """Raise ConfigError unless a folder is that of a finished `index` step."""
    finished_manifest(folder, ("index",), "index", shown=f"serving.documents={folder}")


@cache
def read_documents(folder: Path) -> DocumentIndex:
    """Read the documents of a finished `index` step into memory, once per process.

    Afterwards the folder is not read again. Predictors that replace one another share them.

    Raises:
        ConfigError: the folder is not that of such a step.
        DataError: a file of the index is missing, or has changed.
    """
    check_folder(folder)
    return DocumentIndex.read(folder / "index")


def find_documents(note: str, index: DocumentIndex, catalogue: Catalogue) -> list[DocumentModel]:
    """Return the documents or parts that share the most telling words with a note, best first.

    Args:
        note: searched with whole.
        index: of the documents.
        catalogue: gives further ids of what a document is about.
    """
    hits = index.retrieve(clean_note(note), MOST_DOCUMENTS, "bm25")
    return [
        DocumentModel(
            id=hit.document.id,
            title=hit.document.title,
            kind=hit.document.kind,
            part=hit.document.part,
            text=_head(hit.document.text),
            score=hit.score,
            sources=[
                SourceModel(id=any_id, url=source_url(any_id))
                for any_id in _ids_of(hit.document.id, catalogue)
            ],
        )
        for hit in hits
        if hit.score > 0  # else it has no word of the note
    ]


def _ids_of(document_id: str, catalogue: Catalogue) -> Sequence[str]:
    index = catalogue.index_of(document_id)
    others = () if index is None else catalogue.label(index).ids
    return list(dict.fromkeys([document_id, *others]))


def _head(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS].rstrip()} …"
