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
as if it stood alone. Prompts of a batch are rows of one tensor and see nothing of one another.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from mint_ray.students.encoding.name_trie import NameTrie
from mint_ray.students.encoding.text import Prompt
from mint_ray.students.encoding.vision_inputs import check_shareable, image_inputs, prompt_positions
from mint_ray.students.logprobs.layouts import base_of
from mint_ray.students.logprobs.prefixes import Prefix

# Rows of the vocabulary-wide matrix that the head computes at a time.
HEAD_ROWS = 256


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
        `_column_of`: for each row, the cache column of each of its nodes.
        `_depths`: tokens from the root to a node. Properties of the trie, so a reset keeps them.
        `_grids`: for each row, the positions (3, P) of a prompt whose image tokens stand in a
            grid, else None.

    Args:
        model: causal language model that takes 4-D masks.
        trie: the names' tokens.
        prompts: token ids up to where the answer starts, and their images.
        prefix: the tokens that all prompts start with, if they were kept.

    Raises:
        CannotShare: the model does not take images as tokens of the prompt.
    """

    def __init__(
        self, model: Any, trie: NameTrie, prompts: Sequence[Prompt], prefix: Prefix | None = None
    ) -> None:
        vision_inputs = [prompt.vision_inputs for prompt in prompts]
        check_shareable(vision_inputs)
        self._base = base_of(model)
        self._device = next(model.parameters()).device
        self._trie = trie
        self._grids = [prompt_positions(self._base, p.ids, p.vision_inputs) for p in prompts]
        rows = [(*prompt.ids, *trie.prefix) for prompt in prompts]
        self._prompt_lengths = [len(row) for row in rows]
        self._prompt_width = max(self._prompt_lengths)
        self._node_columns = 0
        self._column_of: list[dict[int, int]] = [{} for _ in rows]
        self._depths: dict[int, int] = {0: 0}
        kept = self._kept_tokens(prefix, rows)
        # Without a config every layer keeps all keys, so that none slides out of the window.
        self._cache = prefix.cache(len(rows)) if prefix and kept else DynamicCache()
        # Padded with the answer's beginning, which is no token of an image.
        padded = [[*row, *[row[-1]] * (self._prompt_width - len(row))] for row in rows]
        ids = torch.tensor(padded, device=self._device)[:, kept:]
        hidden = self._forward(
            ids,
            self._prompt_positions()[..., kept:],
            self._prompt_mask(kept),
            **image_inputs(vision_inputs, self._base),
        )
        last = torch.tensor(self._prompt_lengths, device=self._device) - 1 - kept
        self.root_hidden = hidden[torch.arange(len(rows), device=self._device), last]

    def append_nodes(self, nodes: Sequence[Sequence[int]]) -> Tensor:
        """Compute further nodes of each prompt, and keep them visible to their descendants.

        Args:
            nodes: of each of the B prompts, in any number. A node's ancestors were appended
                before, or stand before it in the same list.

        Returns:
            (B, N, D) hidden states after the nodes, N the most nodes of a prompt. Where a prompt
            has fewer, the end of its row means nothing.
        """
        width = max(map(len, nodes))
        start = self._prompt_width + self._node_columns
        visible = torch.zeros(len(nodes), width, start + width, dtype=torch.bool)
        ids = torch.zeros(len(nodes), width, dtype=torch.long)
        depths = torch.zeros(len(nodes), width, dtype=torch.long)
        for row, row_nodes in enumerate(nodes):
            column_of = self._column_of[row]
            # Also for the filling of a short row: a query that sees nothing would give NaN.
            visible[row, :, : self._prompt_lengths[row]] = True
            for index, node in enumerate(row_nodes):
                column_of[node] = start + index
                self._depths[node] = self._depths[self._trie.parents[node]] + 1
                ids[row, index] = self._trie.tokens[node]
                depths[row, index] = self._depths[node]
                # A path ends with the node itself, which sees itself too.
                visible[row, index, [column_of[step] for step in self._trie.path(node)]] = True
        self._node_columns += width
        roots = torch.tensor([self._root_position(row) for row in range(len(nodes))])[:, None]
        positions = (roots + depths).to(self._device)
        if self._in_grid:
            positions = positions.expand(3, -1, -1)
        return self._forward(ids.to(self._device), positions, visible[:, None].to(self._device))

    def reset_to_prompt(self) -> None:
        """Drop all appended nodes, keep the prompts."""
        if self._node_columns:
            # Negative: the number of columns to remove, not the number to keep.
            self._cache.crop(-self._node_columns)
        self._node_columns = 0
        for column_of in self._column_of:
            column_of.clear()

    def next_token_logps(
        self, nodes: Sequence[Sequence[int]], hidden: Tensor
    ) -> list[dict[int, float]]:
        """Return the log-probability of every child of each prompt's nodes.

        Args:
            nodes: of each of the B prompts; 0 is the root.
            hidden: (B, N, D) hidden states after the nodes.

        Returns:
            For each prompt, log-probabilities in nats by the child's node number.
        """
        flat = [
            (row, index) for row, row_nodes in enumerate(nodes) for index in range(len(row_nodes))
        ]
        logps: list[dict[int, float]] = [{} for _ in nodes]
        head = self._base.get_output_embeddings()
        for at in range(0, len(flat), HEAD_ROWS):
            part = flat[at : at + HEAD_ROWS]
            logits = head(hidden[[row for row, _ in part], [index for _, index in part]]).float()
            total = logits.logsumexp(-1)
            below = [self._trie.children[nodes[row][index]] for row, index in part]
            lines = [line for line, group in enumerate(below) for _ in group]
            children = [child for group in below for child in group]
            tokens = [self._trie.tokens[child] for child in children]
            values = (logits[lines, tokens] - total[lines]).tolist()
            for line, child, value in zip(lines, children, values, strict=True):
                logps[part[line][0]][child] = value
        return logps

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
        if len(set(self._prompt_lengths)) == 1 and not kept:
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
        self, ids: Tensor, positions: Tensor, mask: Tensor | None, **images: Tensor
    ) -> Tensor:
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
