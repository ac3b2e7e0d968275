"""An encoder whose features can be worked out by hand, and a few invented documents."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from mint_ray.common.arrays import Floats32
from mint_ray.retrieval.documents import Document

WORDS = ("seizure", "hearing", "heart", "skin")
READ = 5


@dataclass
class CountingEncoder:
    """Features are counts of four words; it reads five words at a time.

    Attributes:
        weights: hash that an index keeps.
        encoded: texts so far.
    """

    weights: str = "counting"
    encoded: list[str] = field(default_factory=list)

    def split(self, text: str) -> list[str]:
        words = text.split()
        return [" ".join(words[i : i + READ]) for i in range(0, len(words), READ)] or [text]

    def encode(self, texts: Sequence[str]) -> Floats32:
        assert max(len(text.split()) for text in texts) <= READ
        self.encoded += texts
        counts = np.array(
            [[text.split().count(word) for word in WORDS] for text in texts], dtype=np.float32
        )
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1)


@pytest.fixture
def encoder() -> CountingEncoder:
    """An encoder that keeps what it encodes."""
    return CountingEncoder()


@pytest.fixture
def documents() -> list[Document]:
    """Out of order, with two that are alike."""
    return [
        Document("OMIM:3", "disease", "Gamma", "skin skin blister"),
        Document("OMIM:1", "disease", "Alpha", "seizure delay"),
        Document("OMIM:2", "disease", "Beta", "hearing loss and seizure"),
        Document("OMIM:4", "disease", "Delta", "skin skin blister"),
        Document("NCBIGene:9", "gene", "GENA", "one two three four heart"),
    ]
