"""Forward passes over nodes of a trie, on top of prompts' key-value cache.

Nodes are laid side by side in one sequence; a mask lets each see the prompt and its own
ancestors only, so that every path is computed as if it stood alone. Prompts of a batch are padded
at their end, and see nothing of one another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from mint_ray.students.encoding.name_trie import NameTrie
from mint_ray.students.encoding.text import Prompt
from mint_ray.students.encoding.vision_inputs import check_shareable, image_inputs, prompt_positions
from mint_ray.students.logprobs.layouts import base_of

# Rows of the vocabulary-wide matrix that the head computes at a time.
HEAD_ROWS = 256


@dataclass(frozen=True)
class Prefix:
    """The keys and values of what every prompt starts with, computed once."""

    ids: tuple[int, ...]
    layers: tuple[tuple[Tensor, Tensor], ...] = field(repr=False)

    def cache(self, rows: int) -> DynamicCache:
        """A cache that holds it for each of `rows` prompts."""
        return DynamicCache(
            [(k.expand(rows, -1, -1, -1), v.expand(rows, -1, -1, -1)) for k, v in self.layers]
        )


def keep_prefix(model: Any, ids: Sequence[int]) -> Prefix:
    """Compute a beginning without images for prompts to come.

    Args:
        model: causal language model.
        ids: tokens that every prompt starts with.
    """
    base = base_of(model)
    cache = DynamicCache()
    device = next(base.parameters()).device
    with torch.inference_mode():
        base.base_model(
            input_ids=torch.tensor([list(ids)], device=device),
            past_key_values=cache,
            use_cache=True,
        )
    return Prefix(tuple(ids), tuple((layer.keys, layer.values) for layer in cache.layers))


class TrieScorer:
    """Scores a trie's nodes for a batch of B prompts, each by itself.

    `root` (B, D) is the hidden state of the root, computed with the prompt; other nodes are fed
    in batches whose ancestors were fed before, or are in the same batch.

    Args:
        model: causal language model that takes 4-D masks.
        trie: what is scored.
        prompts: token ids up to where the answer starts, and their images.
        prefix: what all of them start with, if it was kept.

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
        self._lengths = [len(row) for row in rows]
        self._width = max(self._lengths)
        self._fed = 0
        self._slots: list[dict[int, int]] = [{} for _ in rows]
        self._depths: dict[int, int] = {0: 0}
        kept = self._kept(prefix, rows)
        # Without a config every layer keeps all keys, so that none slides out of the window.
        self._cache = prefix.cache(len(rows)) if prefix and kept else DynamicCache()
        # Padded with the answer's beginning, which is no token of an image.
        padded = [[*row, *[row[-1]] * (self._width - len(row))] for row in rows]
        ids = torch.tensor(padded, device=self._device)[:, kept:]
        seen = image_inputs(vision_inputs, self._base)
        hidden = self._forward(
            ids, self._first_places()[..., kept:], self._first_mask(kept), **seen
        )
        last = torch.tensor(self._lengths, device=self._device) - 1 - kept
        self.root_hidden = hidden[torch.arange(len(rows), device=self._device), last]

    def append_nodes(self, nodes: Sequence[Sequence[int]]) -> Tensor:
        """Hidden states (B, N, D) after each prompt's nodes, which stay visible to descendants.

        Where a prompt has fewer than N nodes, what stands at the end of its row means nothing.
        """
        width = max(map(len, nodes))
        start = self._width + self._fed
        seen = torch.zeros(len(nodes), width, start + width, dtype=torch.bool)
        ids = torch.zeros(len(nodes), width, dtype=torch.long)
        depths = torch.zeros(len(nodes), width, dtype=torch.long)
        for row, own in enumerate(nodes):
            slots = self._slots[row]
            seen[row, :, : self._lengths[row]] = True
            for place, node in enumerate(own):
                slots[node] = start + place
                self._depths[node] = self._depths[self._trie.parents[node]] + 1
                ids[row, place] = self._trie.tokens[node]
                depths[row, place] = self._depths[node]
                seen[row, place, [slots[step] for step in self._trie.path(node)]] = True
        self._fed += width
        last = torch.tensor([self._last_place(row) for row in range(len(nodes))])[:, None]
        places = (last + depths).to(self._device)
        if self._in_grid:
            places = places.expand(3, -1, -1)
        return self._forward(ids.to(self._device), places, seen[:, None].to(self._device))

    def reset_to_prompt(self) -> None:
        """Drop all fed nodes, keep the prompts."""
        if self._fed:
            self._cache.crop(-self._fed)
        self._fed = 0
        for slots in self._slots:
            slots.clear()

    def next_token_logps(
        self, nodes: Sequence[Sequence[int]], hidden: Tensor
    ) -> list[dict[int, float]]:
        """Log-probability of every child of each prompt's nodes.

        Args:
            hidden: (B, N, D) hidden states after the nodes.
        """
        flat = [(row, place) for row, own in enumerate(nodes) for place in range(len(own))]
        logps: list[dict[int, float]] = [{} for _ in nodes]
        head = self._base.get_output_embeddings()
        for at in range(0, len(flat), HEAD_ROWS):
            part = flat[at : at + HEAD_ROWS]
            where = [row for row, _ in part], [place for _, place in part]
            logits = head(hidden[where]).float()
            total = logits.logsumexp(-1)
            below = [self._trie.children[nodes[row][place]] for row, place in part]
            lines = [line for line, group in enumerate(below) for _ in group]
            children = [child for group in below for child in group]
            tokens = [self._trie.tokens[child] for child in children]
            values = (logits[lines, tokens] - total[lines]).tolist()
            for line, child, value in zip(lines, children, values, strict=True):
                logps[part[line][0]][child] = value
        return logps

    def _kept(self, prefix: Prefix | None, rows: Sequence[tuple[int, ...]]) -> int:
        """Tokens of the prefix that need not be computed; images may not stand in a grid."""
        if prefix is None or self._in_grid:
            return 0
        size = len(prefix.ids)
        fits = all(row[:size] == prefix.ids and len(row) > size for row in rows)
        return size if fits else 0

    @property
    def _in_grid(self) -> bool:
        return any(grid is not None for grid in self._grids)

    def _first_mask(self, kept: int) -> Tensor | None:
        """(B, 1, W, kept + W); None where plain causal attention does the same."""
        if len(set(self._lengths)) == 1 and not kept:
            return None
        lengths = torch.tensor(self._lengths, device=self._device)[:, None, None, None]
        keys = torch.arange(self._width, device=self._device)
        causal = keys[None, :] <= keys[kept:, None]
        return causal[None, None] & (keys < lengths)

    def _first_places(self) -> Tensor:
        """Positions of the prompts and the answer's beginning: (B, P), or (3, B, P) in a grid."""
        if not self._in_grid:
            return torch.arange(self._width, device=self._device).expand(len(self._lengths), -1)
        rows = [self._row_places(row) for row in range(len(self._lengths))]
        return torch.stack(rows, dim=1)

    def _row_places(self, row: int) -> Tensor:
        """(3, P) of one prompt."""
        grid = self._grids[row]
        if grid is None:
            return torch.arange(self._width, device=self._device).expand(3, -1)
        behind = torch.arange(1, self._width - grid.shape[1] + 1, device=self._device)
        return torch.cat([grid, (grid.max() + behind).expand(3, -1)], dim=1)

    def _last_place(self, row: int) -> int:
        """Position of a prompt's root."""
        grid = self._grids[row]
        if grid is None:
            return self._lengths[row] - 1
        return int(grid.max()) + self._lengths[row] - grid.shape[1]

    def _forward(self, ids: Tensor, places: Tensor, mask: Tensor | None, **seen: Tensor) -> Tensor:
        output = self._base.base_model(
            input_ids=ids,
            position_ids=places,
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
            **seen,
        )
        hidden: Tensor = output.last_hidden_state
        return hidden
