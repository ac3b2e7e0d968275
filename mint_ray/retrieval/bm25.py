"""Search by words: Okapi BM25 in Lucene's form, by the library bm25s (arXiv 2407.03618)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import bm25s
import numpy as np
from bm25s.stopwords import STOPWORDS_EN

from mint_ray.common.arrays import Floats32
from mint_ray.knowledge.names import normalise

K1, B = 1.5, 0.75
_STOP = frozenset(STOPWORDS_EN)


def tokenise(text: str) -> list[str]:
    """Return the words of a text in small letters, without stop words and without the plural s.

    >>> tokenise("Seizures of the hands")
    ['seizure', 'hand']
    """
    return [_singular(word) for word in normalise(text).split() if word not in _STOP]


class BM25Index:
    """Weights of all words in all documents.

    Args:
        model: of the library, with its weights.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    @classmethod
    def build(cls, texts: Sequence[str]) -> Self:
        """Index texts; the same texts give the same files.

        Raises:
            ValueError: no text has a word.
        """
        words = [tokenise(text) for text in texts]
        # The library would number words in the order of a set, which differs between processes.
        vocabulary = {word: i for i, word in enumerate(sorted({w for text in words for w in text}))}
        if not vocabulary:
            raise ValueError("expected texts with words, found none")
        ids = [[vocabulary[word] for word in text] for text in words]
        model = bm25s.BM25(k1=K1, b=B, method="lucene")
        model.index((ids, vocabulary), show_progress=False)
        return cls(model)

    def scores(self, query: str) -> Floats32:
        """Return (n,) BM25 of each text; 0 where it shares no word with the query.

        The query is used whole. A word counts once, however often a note repeats it.
        """
        ids = sorted(set(self._model.get_tokens_ids(tokenise(query))))
        if not ids:
            return np.zeros(self._model.scores["num_docs"], dtype=np.float32)
        scores: Floats32 = self._model.get_scores_from_ids(ids)
        return scores

    def save(self, folder: Path) -> None:
        """Write arrays and JSON into a folder."""
        self._model.save(folder, allow_pickle=False, show_progress=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder of `save`; nothing in it is unpickled."""
        return cls(bm25s.BM25.load(folder, allow_pickle=False))


def _singular(word: str) -> str:
    """Return a word without the s of the plural (the S-stemmer of Harman, 1991)."""
    if len(word) < 4 or not word.endswith("s"):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    return word if word.endswith(("us", "ss", "is")) else word[:-1]
