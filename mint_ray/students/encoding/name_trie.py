"""Token trie of a catalogue's names, tokenised as in the first line of a training answer."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

import numpy as np

from mint_ray.common.arrays import Bools, Ints
from mint_ray.errors import DataError
from mint_ray.students.encoding.text import Encoder
from mint_ray.tasks.prompts import answer_text


@dataclass(frozen=True)
class NameTrie:
    """A tree of tokens; node 0 is the root, which stands for the last token of `prefix`.

    `prefix` are the answer's tokens before the first name (header, number and, unless a name
    merges with it, opening quote). `tokens[n]` and `parents[n]` describe node n > 0; parents
    come before their children, which `children[n]` lists. `ends[i]` is the node of name i's
    last token. That token holds the closing quote, the end marker by which a name differs from a
    longer name that starts with it.
    """

    prefix: tuple[int, ...]
    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    children: tuple[tuple[int, ...], ...]
    ends: tuple[int, ...]

    def __len__(self) -> int:
        """Return the number of tokens of the trie, the root not counted."""
        return len(self.tokens) - 1

    def path(self, node: int) -> list[int]:
        """Return the nodes from the root to `node`, without the root and with `node`."""
        nodes = []
        while node:
            nodes.append(node)
            node = self.parents[node]
        return nodes[::-1]

    @cached_property
    def table(self) -> "TrieTable":
        """Arrays of the same tree, made once, since searches look many nodes up together."""
        return TrieTable.of_trie(self)


@dataclass(frozen=True)
class TrieTable:
    """The N nodes of a trie as arrays, for what is the same in every case that is ranked.

    The root's token is 0 here, so that it may fill short rows of token ids.
    """

    tokens: Ints
    """(N,) token of each node."""
    parents: Ints
    """(N,) parent of each node, -1 for the root."""
    depths: Ints
    """(N,) tokens from the root to each node."""
    paths: Ints
    """(N, depth of the trie) node of each depth from 1 on the way to a node, then zeros."""
    child_starts: Ints
    """(N + 1,) position in `child_nodes` at which each node's children start."""
    child_nodes: Ints
    """(N - 1,) children of node 0, of node 1, and so on, each in ascending order."""
    labels: Ints
    """(N,) position of the name that ends at each node, -1 where none does."""

    @classmethod
    def of_trie(cls, trie: NameTrie) -> "TrieTable":
        """Make the arrays of a trie."""
        parents = np.array(trie.parents, dtype=np.int64)
        tokens = np.maximum(np.array(trie.tokens, dtype=np.int64), 0)
        depths = np.zeros(len(parents), dtype=np.int64)
        levels = [np.zeros(1, dtype=np.int64)]
        child_nodes = 1 + np.argsort(parents[1:], kind="stable")
        child_starts = np.searchsorted(parents[child_nodes], np.arange(len(parents) + 1))
        while len(level := child_nodes[_ranges(child_starts, levels[-1])[0]]):
            depths[level] = len(levels)
            levels.append(level)
        paths = np.zeros((len(parents), len(levels) - 1), dtype=np.int64)
        for depth, level in enumerate(levels[1:]):
            paths[level] = paths[parents[level]]
            paths[level, depth] = level
        labels = np.full(len(parents), -1, dtype=np.int64)
        labels[list(trie.ends)] = np.arange(len(trie.ends))
        return cls(tokens, parents, depths, paths, child_starts, child_nodes, labels)

    @property
    def has_children(self) -> Bools:
        """(N,) whether a node has children."""
        inner: Bools = np.diff(self.child_starts) > 0
        return inner

    def children_of(self, nodes: Ints) -> tuple[Ints, Ints]:
        """Return the children of all `nodes` (m,), one node's after another's, and (m,) counts."""
        positions, counts = _ranges(self.child_starts, nodes)
        return self.child_nodes[positions], counts

    def chunks(self, size: int) -> list[tuple[Ints, int]]:
        """Cut the inner nodes, in depth-first order, into chunks that can be computed alone.

        Each chunk starts with the ancestors that it lacks, which an earlier chunk scores. The
        number beside it, at most `size`, says how many nodes at its end are to be scored.
        """
        inner = self.has_children
        # Siblings are numbered in ascending order, so depth-first order is that of the paths.
        order = np.lexsort(self.paths.T[::-1])
        order = order[inner[order] & (order > 0)]
        chunks = []
        for at in range(0, len(order), size):
            chunk = order[at : at + size]
            # In depth-first order, only the first node's ancestors can lie before the chunk.
            ancestors = self.paths[chunk[0], : self.depths[chunk[0]] - 1]
            chunks.append((np.concatenate([ancestors, chunk]), len(chunk)))
        return chunks


def _ranges(starts: Ints, items: Ints) -> tuple[Ints, Ints]:
    """Return the positions of the given items' ranges, one after another, and their lengths."""
    counts = starts[items + 1] - starts[items]
    shift = np.repeat(starts[items] - (np.cumsum(counts) - counts), counts)
    positions: Ints = shift + np.arange(len(shift))
    return positions, counts


def build_trie(names: Sequence[str], k: int, encoder: Encoder) -> NameTrie:
    """Build the trie of `names`, tokenised as the first of the `k` lines of an answer.

    Raises:
        DataError: there are no names, or two names have the same tokens.
    """
    if not names:
        raise DataError("expected at least one name to rank, found none; check the catalogue")
    prefix, paths = first_names(names, k, encoder)
    tokens, parents, ends = [-1], [-1], []
    children: list[dict[int, int]] = [{}]
    for path in paths:
        node = 0
        for token in path:
            if token not in children[node]:
                children[node][token] = len(tokens)
                tokens.append(token)
                parents.append(node)
                children.append({})
            node = children[node][token]
        ends.append(node)
    if len(set(ends)) < len(ends):
        duplicates = len(ends) - len(set(ends))
        raise DataError(
            f"expected names with different tokens, found {duplicates} with the same tokens as "
            "another name; change the names"
        )
    return NameTrie(
        prefix,
        tuple(tokens),
        tuple(parents),
        tuple(tuple(below.values()) for below in children),
        tuple(ends),
    )


def first_names(
    names: Sequence[str], k: int, encoder: Encoder
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Tokenise the first name of an answer, and the beginning of the answer before it.

    Whole lines are tokenised, with the next line's beginning where there is one, because a
    tokenizer may merge the last character of a name with the quote, or the quote with the
    line's end.

    Args:
        names: display names.
        k: names in an answer; decides whether another line follows.
        encoder: tokenises.

    Returns:
        Token ids of the beginning, which all names share, and of each name with its end marker.
    """
    names = [encoder.clean(name) for name in names]
    texts = [answer_text([name] * min(k, 2), encoder.task) for name in names]
    # All at once, which the tokenizer does in threads of its own.
    encoded = encoder.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    opening = len(f"{encoder.task.header}\n1. '")
    lines = []
    for name, ids, offsets in zip(
        names, encoded["input_ids"], encoded["offset_mapping"], strict=True
    ):
        ends = [end for _, end in offsets]
        # A token that holds the quote before the name, or the one behind it, may hold more.
        lines.append((ids, bisect_right(ends, opening), bisect_right(ends, opening + len(name))))
    first = min(start for _, start, _ in lines)
    shared = common_prefix([ids[:first] for ids, _, _ in lines])
    return tuple(lines[0][0][:shared]), tuple(
        tuple(ids[shared : last + 1]) for ids, _, last in lines
    )


def common_prefix(rows: Sequence[Sequence[int]]) -> int:
    """Return the number of tokens that all rows start with."""
    columns = zip(*rows, strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
