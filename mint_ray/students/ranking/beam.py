"""Beam search through a trie of names, for one case."""

import numpy as np

from mint_ray.common.arrays import Floats, Ints
from mint_ray.students.encoding.name_trie import TrieTable


class Beam:
    """The state of a search: the best partial names, and the names that were finished.

    Args:
        trie: the names' tokens.
        width: most partial names that are followed.
        top_k: finished names that the search must find before it may stop early.
    """

    def __init__(self, trie: TrieTable, width: int, top_k: int) -> None:
        self._trie, self._width, self._top_k = trie, width, top_k
        self._has_children = trie.has_children
        self._sums = np.zeros(len(trie.tokens))
        self._ends: Ints = np.zeros(0, dtype=np.int64)
        self.frontier: Ints = np.zeros(1, dtype=np.int64)
        """Nodes whose children to score next, best first; empty when the search is over."""

    @property
    def finished(self) -> tuple[Ints, Floats]:
        """Positions in the catalogue of the finished names, and their summed log-probabilities."""
        return self._trie.labels[self._ends], self._sums[self._ends]

    def grow(self, children: Ints, logps: Floats) -> None:
        """Go on to the children of the frontier.

        Args:
            children: (m,) of all nodes of the frontier.
            logps: (m,) log-probability of each.
        """
        sums = self._sums
        sums[children] = sums[self._trie.parents[children]] + logps
        ends = children[self._trie.labels[children] >= 0]
        self._ends = np.concatenate([self._ends, ends])
        inner = children[self._has_children[children]]
        best = inner[np.lexsort((inner, -sums[inner]))[: self._width]]
        is_over = not len(best) or self._settled(float(sums[best[0]]))
        self.frontier = best[:0] if is_over else best

    def _settled(self, best_open: float) -> bool:
        """Return whether no open name can still enter the top."""
        # Every further token adds a log-probability of at most 0, so scores only fall.
        best = np.sort(self._sums[self._ends])[::-1][: self._top_k]
        return len(best) == self._top_k and bool(best[-1] > best_open)
