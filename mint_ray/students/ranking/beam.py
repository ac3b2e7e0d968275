"""Beam search through a trie of names, for one case."""

import numpy as np

from mint_ray.common.arrays import Bools, Floats, Ints
from mint_ray.students.encoding.name_trie import TrieTable

NEGLIGIBLE = 1e-12
"""Probability mass, of the finished names', below which partial names are given up together. So
small that none shows after a temperature above 1 either, which raises small probabilities."""


class Beam:
    """The state of a search: the best partial names, and the names that were finished.

    Partial names that cannot enter the top any more are given up as soon as no probability would
    show it. Their places in a pass go to the next tokens of those that can, which are scored ahead
    of their turn, so that the ends of a few long names do not take a pass a token.

    Args:
        trie: the names' tokens.
        width: most nodes whose children are scored in a pass.
        top_k: finished names that the search must find before it may stop early.
    """

    def __init__(self, trie: TrieTable, width: int, top_k: int) -> None:
        self._trie, self._width, self._top_k = trie, width, top_k
        self._has_children = trie.has_children
        self._sums = np.zeros(len(trie.tokens))
        self._ends: Ints = np.zeros(0, dtype=np.int64)
        self.frontier: Ints = np.zeros(1, dtype=np.int64)
        """Nodes whose children to score next, ancestors first; empty when the search is over."""

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
        sums, trie = self._sums, self._trie
        depths = trie.depths[children]
        for depth in np.unique(depths):  # a parent's sum before its children's
            level = depths == depth
            sums[children[level]] = sums[trie.parents[children[level]]] + logps[level]
        ends = children[trie.labels[children] >= 0]
        self._ends = np.concatenate([self._ends, ends])
        inner = children[self._has_children[children]]
        inner = inner[~np.isin(inner, self.frontier)]
        best = inner[np.lexsort((inner, -sums[inner]))[: self._width]]
        self.frontier = self._with_descendants(best[self._can_matter(sums[best])])

    def _can_matter(self, open_sums: Floats) -> Bools:
        """Return which open names, best first, may still enter the top or show in its mass."""
        # Every further token adds a log-probability of at most 0, so scores only fall.
        finished = np.sort(self._sums[self._ends])[::-1]
        if len(finished) < self._top_k:
            return np.ones(len(open_sums), dtype=np.bool_)
        can_enter: Bools = open_sums >= finished[self._top_k - 1]
        if not can_enter.any():
            return can_enter
        mass = np.exp(open_sums - finished[0])
        rest = np.cumsum(mass[::-1])[::-1]
        shows: Bools = rest > NEGLIGIBLE * np.exp(finished - finished[0]).sum()
        return can_enter | shows

    def _with_descendants(self, nodes: Ints) -> Ints:
        """Add the inner nodes below `nodes`, as many whole levels as a pass has room for.

        So all open nodes have the same depth; a sum of fewer tokens would beat a better name.
        """
        level = nodes
        while len(level):
            level = self._trie.children_of(level)[0]
            level = level[self._has_children[level]]
            if len(nodes) + len(level) > self._width:
                break
            nodes = np.concatenate([nodes, level])
        return nodes
