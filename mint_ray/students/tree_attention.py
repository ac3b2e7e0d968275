"""Forward passes over nodes of a trie, on top of a prompt's key-value cache.

Nodes are laid side by side in one sequence; a mask lets each see the prompt and its own
ancestors only, so that every path is computed as if it stood alone.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from mint_ray.students.encoding import Prompt
from mint_ray.students.layouts import base_of
from mint_ray.students.pictures import check_shareable, image_inputs, prompt_positions
from mint_ray.students.trie import NameTrie

# Rows of the vocabulary-wide matrix that the head computes at a time.
HEAD_ROWS = 256


class TreeScorer:
    """Scores a trie's nodes for one prompt.

    `root` (1, D) is the hidden state of the root, computed with the prompt; other nodes are fed
    in batches whose ancestors were fed before, or are in the same batch.

    Args:
        model: causal language model that takes 4-D masks.
        trie: what is scored.
        prompt: token ids up to where the answer starts, and its images.

    Raises:
        CannotShare: the model does not take images as tokens of the prompt.
    """

    def __init__(self, model: Any, trie: NameTrie, prompt: Prompt) -> None:
        check_shareable([prompt.pictures])
        self._base = base_of(model)
        self._device = next(model.parameters()).device
        self._trie = trie
        # Without a config every layer keeps all keys, so that none slides out of the window.
        self._cache = DynamicCache()
        ids = torch.tensor([[*prompt.ids, *trie.prefix]], device=self._device)
        self._length = ids.shape[1]
        self._grid = prompt_positions(self._base, prompt.ids, prompt.pictures)
        self._slots: dict[int, int] = {}
        self._depths: dict[int, int] = {0: 0}
        seen = image_inputs([prompt.pictures], self._base)
        self.root = self._forward(ids, self._first_places(), None, **seen)[-1:]

    def feed(self, nodes: Sequence[int]) -> Tensor:
        """Hidden states (N, D) after each of `nodes`; they stay visible to their descendants."""
        start = self._length + len(self._slots)
        for number, node in enumerate(nodes):
            self._slots[node] = start + number
            self._depths[node] = self._depths[self._trie.parents[node]] + 1
        seen = torch.zeros(len(nodes), start + len(nodes), dtype=torch.bool)
        seen[:, : self._length] = True
        for row, node in enumerate(nodes):
            seen[row, [self._slots[step] for step in self._trie.path(node)]] = True
        behind = torch.tensor([[self._depths[node] for node in nodes]], device=self._device)
        ids = torch.tensor([[self._trie.tokens[node] for node in nodes]], device=self._device)
        places = self._last_place + behind
        if self._grid is not None:
            places = places.expand(3, -1, -1)
        return self._forward(ids, places, seen[None, None].to(self._device))

    def forget(self) -> None:
        """Drop all fed nodes, keep the prompt."""
        if self._slots:
            self._cache.crop(-len(self._slots))
        self._slots.clear()

    def child_logps(self, nodes: Sequence[int], hidden: Tensor) -> dict[int, float]:
        """Log-probability of every child of `nodes`, given the hidden states (N, D) after them."""
        logps: dict[int, float] = {}
        head = self._base.get_output_embeddings()
        for at in range(0, len(nodes), HEAD_ROWS):
            logits = head(hidden[at : at + HEAD_ROWS]).float()
            total = logits.logsumexp(-1)
            below = [self._trie.children[node] for node in nodes[at : at + HEAD_ROWS]]
            rows = [row for row, group in enumerate(below) for _ in group]
            children = [child for group in below for child in group]
            values = logits[rows, [self._trie.tokens[child] for child in children]] - total[rows]
            logps.update(zip(children, values.tolist(), strict=True))
        return logps

    def _first_places(self) -> Tensor:
        """Positions of the prompt and the answer's beginning: (1, P), or (3, 1, P) in a grid."""
        if self._grid is None:
            return torch.arange(self._length, device=self._device)[None]
        behind = torch.arange(1, self._length - self._grid.shape[1] + 1, device=self._device)
        tail = (self._grid.max() + behind).expand(3, -1)
        return torch.cat([self._grid, tail], dim=1)[:, None]

    @property
    def _last_place(self) -> int:
        """Position of the root."""
        if self._grid is None:
            return self._length - 1
        return int(self._grid.max()) + self._length - self._grid.shape[1]

    def _forward(self, ids: Tensor, places: Tensor, mask: Tensor | None, **seen: Tensor) -> Tensor:
        output = self._base.base_model(
            input_ids=ids,
            position_ids=places,
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
            **seen,
        )
        hidden: Tensor = output.last_hidden_state[0]
        return hidden
