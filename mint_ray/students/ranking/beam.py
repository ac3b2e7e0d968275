"""A beam search through a trie of names, for one case."""

from collections.abc import Mapping

from mint_ray.students.encoding.name_trie import NameTrie


class Beam:
    """The best partial names, and the names that were finished.

    Args:
        trie: of the names.
        width: partial names that are followed.
        top_k: finished names that are wanted.
    """

    def __init__(self, trie: NameTrie, width: int, top_k: int) -> None:
        self._trie, self._width, self._top_k = trie, width, top_k
        self._label_at = {end: label for label, end in enumerate(trie.ends)}
        self._sums = {0: 0.0}
        self.frontier: list[int] = [0]
        """Nodes to look below next, best first; empty when the search is over."""
        self.finished: dict[int, float] = {}
        """Score of each finished name, by its position in the catalogue."""

    def grow(self, below: Mapping[int, float]) -> None:
        """Go on to the children of the frontier, given their log-probabilities."""
        for node, logp in below.items():
            self._sums[node] = self._sums[self._trie.parents[node]] + logp
            if node in self._label_at:
                self.finished[self._label_at[node]] = self._sums[node]
        inner = [node for node in below if self._trie.children[node]]
        best = sorted(inner, key=lambda node: (-self._sums[node], node))[: self._width]
        self.frontier = [] if not best or self._settled(self._sums[best[0]]) else best

    def _settled(self, best_open: float) -> bool:
        """Whether no open name can still enter the top: scores only fall as names grow."""
        best = sorted(self.finished.values(), reverse=True)[: self._top_k]
        return len(best) == self._top_k and best[-1] > best_open
