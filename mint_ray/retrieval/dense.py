"""Search by meaning: cosines of sentence features, computed exactly.

A sentence encoder reads a few hundred tokens and drops the rest. Documents and queries are
therefore cut into parts that it reads whole. A document is as close to a part of the query as its
closest part is; the closeness to the query is the mean over the query's parts.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from mint_ray.common.arrays import Floats32, Ints

_VECTORS, _STARTS = "vectors.npy", "starts.npy"
_AT_ONCE = 256
_DECIMALS = 6


class Encoder(Protocol):
    """A sentence encoder, such as `encoders.sentences.SentenceEncoder`."""

    @property
    def weights(self) -> str:
        """Hash of the weights."""

    def split(self, text: str) -> list[str]:
        """Return the parts of a text that are read whole, in order; at least one."""

    def encode(self, texts: Sequence[str]) -> Floats32:
        """Return (n, width) features of length one."""


class DenseIndex:
    """Features of the parts of all documents.

    Args:
        vectors: (n_parts, width), each of length one.
        starts: (n,) index of the first part of each document; documents follow one another.
    """

    def __init__(self, vectors: Floats32, starts: Ints) -> None:
        self._vectors, self._starts = vectors, starts

    @classmethod
    def build(
        cls,
        texts: Sequence[str],
        encoder: Encoder,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Self:
        """Encode texts.

        Args:
            texts: at least one.
            encoder: gives the features.
            on_progress: called with the numbers of parts encoded and of all parts.

        Raises:
            ValueError: there is no text.
        """
        if not texts:
            raise ValueError("expected at least one text to index, found none")
        parts = [encoder.split(text) for text in texts]
        # Equal parts are encoded once, so that their features are equal to the last bit. Texts of
        # one length need no padding: encoding by length takes half the time.
        distinct = sorted(
            {part for of_text in parts for part in of_text}, key=lambda p: (len(p), p)
        )
        rows: list[Floats32] = []
        for start in range(0, len(distinct), _AT_ONCE):
            rows.append(encoder.encode(distinct[start : start + _AT_ONCE]))
            on_progress(min(start + _AT_ONCE, len(distinct)), len(distinct))
        row_of = {part: row for row, part in enumerate(distinct)}
        vectors = np.concatenate(rows)
        return cls.of_features([vectors[[row_of[part] for part in of_text]] for of_text in parts])

    @classmethod
    def of_features(cls, features: Sequence[Floats32]) -> Self:
        """Make the index of features that were computed before.

        Args:
            features: (n_parts, width) of each document, in the order of the documents.
        """
        starts = list(accumulate((len(of_text) for of_text in features[:-1]), initial=0))
        return cls(np.concatenate(features), np.array(starts, dtype=np.int64))

    def scores(self, query: str, encoder: Encoder) -> Floats32:
        """Return (n,) mean over the parts of the query of the cosine to the closest part."""
        cosines = encoder.encode(encoder.split(query)) @ self._vectors.T
        closest: Floats32 = np.maximum.reduceat(cosines, self._starts, axis=1).mean(axis=0)
        # Rounding errors of a product depend on the place of a row: equal documents tie again.
        return np.round(closest, _DECIMALS)

    def save(self, folder: Path) -> None:
        """Write two arrays into a folder."""
        np.save(folder / _VECTORS, self._vectors, allow_pickle=False)
        np.save(folder / _STARTS, self._starts, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder of `save`; nothing in it is unpickled."""
        vectors = np.load(folder / _VECTORS, allow_pickle=False)
        return cls(vectors, np.load(folder / _STARTS, allow_pickle=False))
