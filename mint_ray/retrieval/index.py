"""An index of documents: search in it, and its folder on disk.

The folder holds the documents, the index of words and, where an encoder was given, the features of
their meaning: arrays, parquet and JSON. The manifest, written last, has a checksum of each file and
the hash of the encoder's weights.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.common.arrays import Floats, Floats32
from mint_ray.common.digests import sha256
from mint_ray.common.files import read_json, write_json
from mint_ray.errors import DataError
from mint_ray.retrieval.bm25 import BM25Index
from mint_ray.retrieval.dense import DenseIndex, Encoder
from mint_ray.retrieval.documents import Document, in_order
from mint_ray.retrieval.fuse import best_first, reciprocal_rank_fusion

Method = Literal["bm25", "dense", "fused"]

VERSION = 1
"""Version of the folder's format."""

_MANIFEST, _DOCUMENTS, _WORDS, _MEANING = "manifest.json", "documents.parquet", "bm25", "dense"
_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("part", pa.int32(), nullable=False),
    ]
)


class Hit(NamedTuple):
    """A document that was found; a higher score is better."""

    document: Document
    score: float


class RankedId(NamedTuple):
    """A disease or gene in a ranking; a higher score is better."""

    id: str
    score: float


class DocumentIndex:
    """Documents with their indices.

    Args:
        documents: in the order of `in_order`.
        words: index of the documents' words.
        meaning: index of their features, None to search by words only.
        encoder: that made the features.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        words: BM25Index,
        meaning: DenseIndex | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self.documents = tuple(documents)
        self._words, self._meaning, self._encoder = words, meaning, encoder

    @classmethod
    def build(
        cls,
        documents: Iterable[Document],
        encoder: Encoder | None = None,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Self:
        """Index documents, whole ones or parts.

        Args:
            documents: at least one.
            encoder: for features of their meaning; None to search by words only.
            on_progress: called with the numbers of texts encoded and of all texts.

        Raises:
            ValueError: there is no document, or two have one id and part.
        """
        ordered = in_order(documents)
        texts = [document.content for document in ordered]
        words = BM25Index.build(texts)
        meaning = DenseIndex.build(texts, encoder, on_progress) if encoder else None
        return cls(ordered, words, meaning, encoder)

    def scores(self, query: str, method: Method = "fused") -> Floats | Floats32:
        """Return (n,) scores of all documents.

        Raises:
            ValueError: the method needs features, and the index has none.
        """
        if method == "bm25":
            return self._words.scores(query)
        if self._meaning is None or self._encoder is None:
            raise ValueError(f"method={method}: expected an index with features, found one without")
        dense = self._meaning.scores(query, self._encoder)
        if method == "dense":
            return dense
        return reciprocal_rank_fusion([self._words.scores(query), dense])

    def retrieve(
        self, query: str, k: int = 1, method: Method = "fused", rerank_of: int | None = None
    ) -> list[Hit]:
        """Return the best `k` documents or parts; ties go by id.

        Args:
            query: used whole, however long it is.
            k: most documents to return.
            method: of search.
            rerank_of: number of documents that `method` finds and the features then order; None
                to keep the order of `method`. 3 with `k=1` is "k = 3 → 1".
        """
        scores = self.scores(query, method)
        order = best_first(scores)[: k if rerank_of is None else rerank_of]
        if rerank_of is not None:
            scores = self.scores(query, "dense")
            order = np.sort(order)  # ties by the order of documents, not by the first search
            order = order[best_first(scores[order])][:k]
        return [Hit(self.documents[i], float(scores[i])) for i in order]

    def rank(
        self, query: str, k: int | None = None, method: Method = "fused", kind: str | None = None
    ) -> list[RankedId]:
        """Return ids of diseases or genes by the score of their best part; ties go by id.

        Args:
            query: used whole.
            k: most ids to return; None for all.
            method: of search.
            kind: documents of this kind only; None for all kinds.
        """
        scores = self.scores(query, method)
        best: dict[str, float] = {}
        for i in best_first(scores):
            document = self.documents[i]
            if kind in (None, document.kind):
                best.setdefault(document.id, float(scores[i]))
                if len(best) == k:
                    break
        return [RankedId(key, score) for key, score in best.items()]

    def write(self, folder: Path, facts: dict[str, Any] | None = None) -> None:
        """Write the folder; a folder of an earlier index is replaced.

        Args:
            folder: made if it is absent.
            facts: further entries of the manifest, such as what was left out.
        """
        manifest = folder / _MANIFEST
        manifest.unlink(missing_ok=True)  # from here on the folder is no index until it is whole
        for name in (_WORDS, _MEANING):
            for old in (folder / name).glob("*"):
                old.unlink()
            (folder / name).mkdir(parents=True, exist_ok=True)
        rows = [asdict(document) for document in self.documents]
        pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), folder / _DOCUMENTS)
        self._words.save(folder / _WORDS)
        if self._meaning is not None:
            self._meaning.save(folder / _MEANING)
        below = (folder / _WORDS, folder / _MEANING)
        files = [folder / _DOCUMENTS, *(file for part in below for file in sorted(part.iterdir()))]
        write_json(
            manifest,
            {
                "version": VERSION,
                "documents": len(self.documents),
                "encoder": None if self._encoder is None else self._encoder.weights,
                "facts": facts or {},
                "files": {str(file.relative_to(folder)): sha256(file) for file in files},
            },
        )

    @classmethod
    def read(cls, folder: Path, encoder: Encoder | None = None) -> Self:
        """Read a folder of `write`.

        Args:
            folder: of an index.
            encoder: the one that made the features; None to search by words only.

        Raises:
            DataError: the folder is no whole index of this version, a file has changed, or its
                features are of another encoder or absent.
        """
        manifest = _read_manifest(folder)
        made_by = manifest["encoder"]
        if encoder is not None and encoder.weights != made_by:
            raise DataError(
                f"{folder}: expected an index with features of the encoder {encoder.weights}, "
                f"found {f'those of {made_by}' if made_by else 'none'}; build the index again"
            )
        table = pq.read_table(folder / _DOCUMENTS, schema=_SCHEMA)
        documents = [Document(**row) for row in table.to_pylist()]
        meaning = DenseIndex.load(folder / _MEANING) if encoder is not None else None
        return cls(documents, BM25Index.load(folder / _WORDS), meaning, encoder)


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder after checking every file.

    Raises:
        DataError: there is none, it is of another version, or a file has changed.
    """
    try:
        manifest = read_json(folder / _MANIFEST)
        files, version = dict(manifest["files"]), manifest["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder}: expected a folder of an index with {_MANIFEST}, found none that can be "
            f"read ({type(error).__name__}); build the index again"
        ) from error
    if version != VERSION:
        raise DataError(
            f"{folder}: expected an index of version {VERSION}, found {version}; build it again"
        )
    for name, digest in files.items():
        file = folder / name
        if not file.is_file() or sha256(file) != digest:
            raise DataError(
                f"{file}: expected the file that the index was written with, found "
                f"{'another one' if file.is_file() else 'none'}; build the index again"
            )
    return manifest
