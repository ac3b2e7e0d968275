"""A user's own documents, from a table with the columns `id`, `title` and `text`."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mint_ray.common.tables.rows import read_rows
from mint_ray.errors import DataError
from mint_ray.retrieval.documents import Document


@dataclass(frozen=True)
class OwnDocuments:
    """Documents of a table, and the rows that are none.

    Attributes:
        documents: in the order of the table.
        rejected: number of rows by reason: `no_id`, `no_text`, `duplicate_id`, `bad_row`.
    """

    documents: tuple[Document, ...]
    rejected: Counter[str]


def read_own_documents(path: Path) -> OwnDocuments:
    """Read a parquet table, a table of text, or JSON lines.

    A row without a title has its id as the title. Of rows with one id, the first counts.

    Raises:
        DataError: the file cannot be read, lacks a column, or no row is a document.
    """
    table = read_rows(path, "documents", required=("id", "text"))
    rejected = +Counter({"bad_row": table.bad})
    documents: dict[str, Document] = {}
    for row in table.rows:
        key, text = row.get("id", ""), row.get("text", "")
        if not (key and text):
            rejected["no_text" if key else "no_id"] += 1
        elif key in documents:
            rejected["duplicate_id"] += 1
        else:
            documents[key] = Document(key, "own", row.get("title") or key, text)
    if not documents:
        raise DataError(
            f"{path}: expected rows with id and text, found none ({dict(rejected)}); see to the "
            "columns id, title and text",
            rejected,
        )
    return OwnDocuments(tuple(documents.values()), rejected)
