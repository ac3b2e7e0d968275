"""Token-tree scoring: log-probabilities of trie nodes on top of prompts' key-value cache.

    one prompt's row  |<-------- W prompt columns --------->|<- nodes ->|
    cache column      0   1   2   3   4   5   6       7     8   9   10
    token             k   k   p   p   p   x   x     (pad)   a   b   c
    position          0   1   2   3   4   5   6       -     7   7   8
    mask, query a     1   1   1   1   1   1   1       .     1   .   .
    mask, query b     1   1   1   1   1   1   1       .     .   1   .
    mask, query c     1   1   1   1   1   1   1       .     1   .   1
    k: kept `Prefix`, which all prompts start with; its keys and values are computed once
    p: the rest of this prompt, up to where the answer starts
    x: `trie.prefix`, the answer's beginning; the root of the trie is its last token
    (pad): up to W, the longest row of the batch, its answer's beginning included
    a, b: children of the root; c: child of a, so it sees a and stands one position after it

A node sees its prompt, its ancestors and itself, so that every path through the trie is computed
as if it stood alone. Prompts of a batch are rows of one tensor and see nothing of one another. In
half precision on a CPU they do not round one another's numbers either, see `NotesApart`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mint_ray.common.arrays import Bools, Floats, Ints
from mint_ray.common.devices import HALF
from mint_ray.students.encoding.name_trie import NameTrie
from mint_ray.students.encoding.prompt import Prompt
from mint_ray.students.encoding.vision_inputs import check_shareable, image_inputs, prompt_positions
from mint_ray.students.logprobs.layouts import base_of
from mint_ray.students.logprobs.prefixes import Prefix
from mint_ray.students.ranking.apart import NotesApart
from mint_ray.students.ranking.growing_cache import growing_cache
from mint_ray.students.ranking.packed_weights import PackedWeights

# Rows of the vocabulary-wide matrix that the head computes at a time.
HEAD_ROWS = 256
# Rows of it that are summed at a time on a CPU: in float32 they fit into its cache.
_SUM_ROWS = 8


class TrieScorer:
    """Scorer of a trie's nodes for a batch of B prompts, each independent of the others.

    The constructor runs the prompts through the model. `append_nodes` then adds nodes behind them,
    parents before their children or in the same call, and `reset_to_prompt` drops all nodes.
    `root_hidden` (B, D) is the hidden state of the root, whose token belongs to the prompt's pass.

    State between calls, in the terms of the picture above:
        `_cache`: keys and values of all columns so far, (B, heads, columns, head size) per layer.
        `_prompt_lengths`: tokens of each row before its padding.
        `_prompt_width`: W, the longest of them; the first node stands in this column.
        `_node_columns`: columns that nodes take up so far, the same number in every row.
        `_columns`: (B, nodes of the trie) cache column of each node; of no meaning before the node
            was appended.
        `_grids`: for each row, the positions (3, P) of a prompt whose image tokens stand in a
            grid, else None.

    Args:
        model: causal language model that takes 4-D masks.
        trie: the names' tokens.
        prompts: token ids up to where the answer starts, and their images.
        prefix: the tokens that all prompts start with, if they were kept.
        weights: the model's, packed for `NotesApart`, if they are.

    Raises:
        CannotShare: the model does not take images as tokens of the prompt.
    """

    def __init__(
        self,
        model: Any,
        trie: NameTrie,
        prompts: Sequence[Prompt],
        prefix: Prefix | None = None,
        weights: PackedWeights | None = None,
    ) -> None:
        vision_inputs = [prompt.vision_inputs for prompt in prompts]
        check_shareable(vision_inputs)
        self._base = base_of(model)
        weight = next(model.parameters())
        self._device = weight.device
        self._apart = weight.device.type == "cpu" and weight.dtype in HALF
        self._weights = weights
        self._trie = trie.table
        self._grids = [prompt_positions(self._base, p.ids, p.vision_inputs) for p in prompts]
        rows = [(*prompt.ids, *trie.prefix) for prompt in prompts]
        self._prompt_lengths = [len(row) for row in rows]
        self._prompt_width = max(self._prompt_lengths)
        self._node_columns = 0
        self._columns = np.zeros((len(rows), len(self._trie.tokens)), dtype=np.int64)
        kept = self._kept_tokens(prefix, rows)
        self._cache = growing_cache(prefix.rows(len(rows)) if prefix and kept else ())
        # Padded with the answer's beginning, which is no token of an image.
        padded = [[*row, *[row[-1]] * (self._prompt_width - len(row))] for row in rows]
        ids = torch.tensor(padded, device=self._device)[:, kept:]
        hidden = self._forward(
            ids,
            self._prompt_positions()[..., kept:],
            self._prompt_mask(kept),
            [length - kept for length in self._prompt_lengths],
            **image_inputs(vision_inputs, self._base),
        )
        last = torch.tensor(self._prompt_lengths, device=self._device) - 1 - kept
        self.root_hidden = hidden[torch.arange(len(rows), device=self._device), last]

    def append_nodes(self, nodes: Sequence[Ints]) -> Tensor:
        """Compute further nodes of each prompt, and keep them visible to their descendants.

        Args:
            nodes: of each of the B prompts, in any number. A node's ancestors were appended
                before, or stand before it in the same list.

        Returns:
            (B, N, D) hidden states after the nodes, N the most nodes of a prompt. Where a prompt
            has fewer, the end of its row means nothing.
        """
        width = max(map(len, nodes))
        grid = np.zeros((len(nodes), width), dtype=np.int64)  # short rows are filled with the root
        for row, row_nodes in enumerate(nodes):
            grid[row, : len(row_nodes)] = row_nodes
        mask = torch.from_numpy(self._node_mask(grid))
        self._node_columns += width
        roots = np.array([self._root_position(row) for row in range(len(nodes))])[:, None]
        positions = torch.from_numpy(roots + self._trie.depths[grid]).to(self._device)
        if self._in_grid:
            positions = positions.expand(3, -1, -1)
        ids = torch.from_numpy(self._trie.tokens[grid]).to(self._device)
        visible = mask[:, None].to(self._device)
        return self._forward(ids, positions, visible, [*map(len, nodes)])

    def _node_mask(self, grid: Ints) -> Bools:
        """Give new nodes (B, N) their columns; return the (B, N, columns) that each may see."""
        rows, width = np.arange(len(grid))[:, None], grid.shape[1]
        start = self._prompt_width + self._node_columns
        self._columns[rows, grid] = start + np.arange(width)
        # The root stands in the prompt. Paths are filled up with it, so it gets one more column,
        # which is cut off.
        self._columns[:, 0] = start + width
        visible = np.zeros((*grid.shape, start + width + 1), dtype=np.bool_)
        # Also for the filling of a short row: a query that sees nothing would give NaN.
        lengths = np.array(self._prompt_lengths)[:, None, None]
        visible[..., : self._prompt_width] = np.arange(self._prompt_width) < lengths
        # A path ends with the node itself, which sees itself too.
        paths = self._trie.paths[grid, : int(self._trie.depths[grid].max())]
        np.put_along_axis(visible, self._columns[rows[..., None], paths], True, axis=2)
        return visible[..., :-1]

    def reset_to_prompt(self) -> None:
        """Drop all appended nodes, keep the prompts."""
        if self._node_columns:
            # Negative: the number of columns to remove, not the number to keep.
            self._cache.crop(-self._node_columns)
        self._node_columns = 0

    def next_token_logps(self, nodes: Sequence[Ints], hidden: Tensor) -> list[tuple[Ints, Floats]]:
        """Return the log-probability of every child of each prompt's nodes.

        Args:
            nodes: of each of the B prompts; 0 is the root.
            hidden: (B, N, D) hidden states after the nodes.

        Returns:
            For each prompt, the children of its nodes, and their log-probabilities in nats.
        """
        sizes = np.array([len(row_nodes) for row_nodes in nodes])
        rows = np.repeat(np.arange(len(nodes)), sizes)
        indices = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        children, counts = self._trie.children_of(np.concatenate(nodes))
        ends = np.concatenate([[0], np.cumsum(counts)])
        head = self._base.get_output_embeddings()
        values = np.zeros(len(children))
        for at in range(0, len(rows), HEAD_ROWS):
            part = slice(at, at + HEAD_ROWS)
            with self._notes_apart():
                logits = head(hidden[rows[part], indices[part]])
            below = slice(ends[at], ends[min(at + HEAD_ROWS, len(rows))])
            lines = np.repeat(np.arange(len(logits)), counts[part])
            wanted = logits[lines, self._trie.tokens[children[below]]].float()
            values[below] = (wanted - _log_sums(logits)[lines]).cpu().numpy()
        bounds = ends[np.cumsum(sizes)[:-1]]
        return list(zip(np.split(children, bounds), np.split(values, bounds), strict=True))

    def _kept_tokens(self, prefix: Prefix | None, rows: Sequence[tuple[int, ...]]) -> int:
        """Return how many tokens of the prefix need not be computed again.

        The result is 0 for images in a grid, and where a row does not start with the prefix.
        """
        if prefix is None or self._in_grid:
            return 0
        size = len(prefix.ids)
        fits = all(row[:size] == prefix.ids and len(row) > size for row in rows)
        return size if fits else 0

    @property
    def _in_grid(self) -> bool:
        return any(grid is not None for grid in self._grids)

    def _prompt_mask(self, kept: int) -> Tensor | None:
        """Return the (B, 1, W - kept, W) mask of the prompts; None where plain causal does."""
        if len(set(self._prompt_lengths)) == 1 and not kept and not self._apart:
            return None
        lengths = torch.tensor(self._prompt_lengths, device=self._device)[:, None, None, None]
        keys = torch.arange(self._prompt_width, device=self._device)
        causal = keys[None, :] <= keys[kept:, None]
        return causal[None, None] & (keys < lengths)

    def _prompt_positions(self) -> Tensor:
        """Return the positions of all prompt columns: (B, W), or (3, B, W) in a grid."""
        if not self._in_grid:
            rows = len(self._prompt_lengths)
            return torch.arange(self._prompt_width, device=self._device).expand(rows, -1)
        by_row = [self._row_positions(row) for row in range(len(self._prompt_lengths))]
        return torch.stack(by_row, dim=1)

    def _row_positions(self, row: int) -> Tensor:
        """Return the (3, W) positions of one prompt in a batch with grids."""
        grid = self._grids[row]
        if grid is None:
            return torch.arange(self._prompt_width, device=self._device).expand(3, -1)
        behind = torch.arange(1, self._prompt_width - grid.shape[1] + 1, device=self._device)
        return torch.cat([grid, (grid.max() + behind).expand(3, -1)], dim=1)

    def _root_position(self, row: int) -> int:
        """Return the position of a prompt's root, the last token of the answer's beginning."""
        grid = self._grids[row]
        if grid is None:
            return self._prompt_lengths[row] - 1
        # A grid's tokens share positions: count on from the largest, not from the token's index.
        return int(grid.max()) + self._prompt_lengths[row] - grid.shape[1]

    def _forward(
        self,
        ids: Tensor,
        positions: Tensor,
        mask: Tensor | None,
        queries: Sequence[int],
        **images: Tensor,
    ) -> Tensor:
        with self._notes_apart(mask, queries):
            output = self._base.base_model(
                input_ids=ids,
                position_ids=positions,
                attention_mask=mask,
                past_key_values=self._cache,
                use_cache=True,
                **images,
            )
        hidden: Tensor = output.last_hidden_state
        return hidden

    def _notes_apart(
        self, visible: Tensor | None = None, queries: Sequence[int] = ()
    ) -> AbstractContextManager[Any]:
        if not self._apart:
            return nullcontext()
        return NotesApart(self._base, visible, queries, self._weights)


def _log_sums(logits: Tensor) -> Tensor:
    """Return the (N,) log of the summed exponentials of each row of logits (N, V), in float32."""
    size = _SUM_ROWS if logits.device.type == "cpu" else HEAD_ROWS
    return torch.cat([rows.float().logsumexp(-1) for rows in torch.split(logits, size)])
