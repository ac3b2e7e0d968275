"""Beam search through a trie of names, for one case."""

from collections.abc import Mapping

from mint_ray.students.encoding.name_trie import NameTrie


class Beam:
    """The state of a search: the best partial names, and the names that were finished.

    Args:
        trie: the names' tokens.
        width: most partial names that are followed.
        top_k: finished names that the search must find before it may stop early.
    """

    def __init__(self, trie: NameTrie, width: int, top_k: int) -> None:
        self._trie, self._width, self._top_k = trie, width, top_k
        self._label_at = {end: label for label, end in enumerate(trie.ends)}
        self._sums = {0: 0.0}
        self.frontier: list[int] = [0]
        """Nodes whose children to score next, best first; empty when the search is over."""
        self.finished: dict[int, float] = {}
        """Summed log-probability of each finished name, by its position in the catalogue."""

    def grow(self, child_logps: Mapping[int, float]) -> None:
        """Go on to the children of the frontier.

        Args:
            child_logps: log-probability of each child of each node of the frontier.
        """
        for node, logp in child_logps.items():
            self._sums[node] = self._sums[self._trie.parents[node]] + logp
            if node in self._label_at:
                self.finished[self._label_at[node]] = self._sums[node]
        inner = [node for node in child_logps if self._trie.children[node]]
        best = sorted(inner, key=lambda node: (-self._sums[node], node))[: self._width]
        self.frontier = [] if not best or self._settled(self._sums[best[0]]) else best

    def _settled(self, best_open: float) -> bool:
        """Return whether no open name can still enter the top."""
        # Every further token adds a log-probability of at most 0, so scores only fall.
        best = sorted(self.finished.values(), reverse=True)[: self._top_k]
        return len(best) == self._top_k and best[-1] > best_open
