"""Beam search through a trie of names, for one case."""

import numpy as np

from mint_ray.common.arrays import Floats, Ints
from mint_ray.students.encoding.name_trie import TrieTable

AHEAD = 4
"""Nodes without alternative that are computed ahead, with the node above them. A forward pass of a
few more tokens costs less than one more pass; the beam may drop a node before it gets to them."""


class Beam:
    """The state of a search: the best partial names, and the names that were finished.

    `add` takes the log-probabilities that `advance` asked for; the first are those below the root.

    Args:
        trie: the names' tokens.
        width: most partial names that are followed.
        top_k: finished names that the search must find before it may stop early.
    """

    def __init__(self, trie: TrieTable, width: int, top_k: int) -> None:
        self._trie, self._width, self._top_k = trie, width, top_k
        self._inner = trie.has_children
        self._logps = np.zeros(len(trie.tokens))
        self._is_scored = np.zeros(len(trie.tokens), dtype=np.bool_)
        self._sums = np.zeros(len(trie.tokens))
        self._frontier: Ints = np.zeros(1, dtype=np.int64)
        """Nodes whose children come next, best first; empty when the search is over."""
        self._ends: Ints = np.zeros(0, dtype=np.int64)

    @property
    def finished(self) -> tuple[Ints, Floats]:
        """Positions in the catalogue of the finished names, and their summed log-probabilities."""
        return self._trie.labels[self._ends], self._sums[self._ends]

    def add(self, children: Ints, logps: Floats) -> None:
        """Keep the log-probabilities of nodes, all children of a node together."""
        self._logps[children] = logps
        self._is_scored[children] = True

    def advance(self) -> Ints:
        """Follow the best partial names as far as log-probabilities are known.

        Returns:
            Nodes whose children to score next, parents first; none when the search is over.
        """
        while len(self._frontier):
            children, counts = self._trie.children_of(self._frontier)
            is_scored = self._is_scored[children]
            if not is_scored.all():
                missing = np.unique(self._trie.parents[children[~is_scored]])
                return self._trie.with_chains(missing, AHEAD)
            self._grow(children, np.repeat(self._frontier, counts))
        return self._frontier

    def _grow(self, children: Ints, parents: Ints) -> None:
        sums = self._sums
        sums[children] = sums[parents] + self._logps[children]
        is_end = self._trie.labels[children] >= 0
        self._ends = np.concatenate([self._ends, children[is_end]])
        inner = children[self._inner[children]]
        best = inner[np.lexsort((inner, -sums[inner]))[: self._width]]
        is_over = not len(best) or self._settled(float(sums[best[0]]))
        self._frontier = best[:0] if is_over else best

    def _settled(self, best_open: float) -> bool:
        """Return whether no open name can still enter the top."""
        # Every further token adds a log-probability of at most 0, so scores only fall.
        best = np.sort(self._sums[self._ends])[::-1][: self._top_k]
        return len(best) == self._top_k and bool(best[-1] > best_open)
